"""Simulated alerts as an archive and prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from fulgor.models.evaluation.alerts import AlertSet
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import simulate, write_archive


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_archive(simulate(count=120, seed=8), folder)
    return folder


@pytest.fixture(scope="session")
def alerts(archive: Path) -> AlertSet:
    return AlertSet.gather(labelled_alerts(archive))

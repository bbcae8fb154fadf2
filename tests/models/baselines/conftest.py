from __future__ import annotations

import pytest
import torch

from fulgor.models.evaluation.alerts import AlertSet, LabelledAlert
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.simulate.ztf import encode, simulate


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def alerts() -> AlertSet:
    decode = ZtfDecoder()
    return AlertSet.gather(
        LabelledAlert(decode(encode([one.record]))[0], one.label, "simulated") for one in simulate(60, 4)
    )

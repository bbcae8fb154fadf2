"""What is made of the rows of a run."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.demo.picture import make_folder
from fulgor.demo.results import NightRows, StoredAlert, agreement
from fulgor.errors import SettingsError
from fulgor.storage.places import StoredPlace


def row(alert: str, name: str, label: str, anomaly: float) -> StoredAlert:
    return StoredAlert(alert, name, label, 0.9, anomaly, 18.0, 1, StoredPlace("c", "t", "", 0, 0))


@pytest.fixture
def rows() -> NightRows:
    alerts = [row("1", "A", "SN", 0.99), row("2", "A", "SN", 0.98), row("3", "B", "VS", 0.5), row("4", "C", "VS", 0.4)]
    return NightRows(alerts, np.zeros((4, 64), np.float32))


def test_the_strangest_are_different_objects(rows):
    assert rows.strangest(2) == [0, 2]
    assert rows.strangest(9) == [0, 2, 3]


def test_agreement_counts_what_is_simulated_found_and_both(rows):
    truth = {"1": "SN", "2": "VS", "3": "VS", "4": "AGN", "99": "SN"}
    assert agreement(rows, truth) == {"AGN": (1, 0, 0), "SN": (1, 2, 1), "VS": (2, 2, 1)}


def test_a_folder_that_cannot_be_made_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="--out"):
        make_folder(tmp_path / "file" / "demo")

"""Labels for training from what people judged."""

from __future__ import annotations

import pytest

from fulgor.errors import SettingsError
from fulgor.replay.labels import labels_from_judgements
from fulgor.storage.judgements import add_judgement

pytestmark = pytest.mark.services


def test_the_latest_judgement_of_an_alert_is_its_label(toy):
    with pytest.raises(SettingsError, match="nobody has judged"):
        labels_from_judgements(toy.connection, "toy")
    toy.write([toy.result(number, alert=f"a{number}") for number in range(3)], next_offset=3)
    for alert, interesting in (("a0", True), ("a1", True), ("a1", False)):
        add_judgement(toy.connection, "toy", alert, interesting=interesting, by="vera")
    assert labels_from_judgements(toy.connection, "toy") == {"a0": "interesting", "a1": "boring"}

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.report import load_folder, report
from fulgor.models.evaluation.served import FixedModel
from fulgor.models.evaluation.suite import COUNTS, NIGHT, ORIGIN, Suite, at_most, by_detections, is_method


class Majority:
    """Says how frequent each class was in training."""

    name = "majority"

    def fit(self, alerts: AlertSet, train: np.ndarray) -> Majority:
        self.seen = alerts.objects[train]
        labels = alerts.labels[train]
        self.part = np.bincount(labels[labels >= 0], minlength=5) / (labels >= 0).sum()
        return self

    def predict_proba(self, alerts: AlertSet, index: np.ndarray) -> np.ndarray:
        assert not set(alerts.objects[index]) & set(self.seen)
        return np.tile(self.part, (len(index), 1))


class Served:
    """A loaded model that sees the number of steps in the sequence."""

    def __init__(self, classes: tuple[str, ...], used: list[dict[str, str]]) -> None:
        self.classes, self.history_shape = classes, None
        self.card = {"data": {"used": used}}

    def predict(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        steps = arrays["sequence_mask"].sum(axis=1).astype(int)
        return {"probabilities": np.eye(5, dtype=np.float32)[np.minimum(steps, 5) - 1]}


def test_a_method_is_measured_every_way(alerts: AlertSet) -> None:
    suite = Suite(alerts)
    found = {one.name: one for one in suite.measure(Majority(), groups=True)}
    assert set(found) == {"majority", f"majority, {NIGHT}", *(f"majority, {at_most(n)}" for n in COUNTS)} | (
        {f"majority, {ORIGIN}"} if len(set(alerts.origins)) > 1 else set()
    )
    assert len(found["majority"]) == len(found[f"majority, {NIGHT}"]) == len(alerts.labelled)
    rich = by_detections(found, "majority")
    assert list(rich) == list(COUNTS)
    assert all(one.ids.tolist() == alerts.ids[suite.rich].tolist() for one in rich.values())
    assert [name for name in found if is_method(name)] == ["majority"]


def test_what_is_known_is_not_measured_again(alerts: AlertSet, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {one.name: one for one in Suite(alerts).measure(Majority(), groups=True)}
    told: list[str] = []
    again = Suite(alerts, told.append, known)
    assert {one.name: one for one in again.measure(Majority(), groups=True)} == known
    assert told == []
    del known[f"majority, {at_most(3)}"]  # cut short while it was saved
    assert len(list(again.measure(Majority(), groups=True))) == len(known) + 1
    assert told == ["majority"]
    known = {name: replace(one, labels=(one.labels + 1) % 5) for name, one in known.items()}
    with pytest.raises(ModelError, match="measured on other alerts or labels"):
        list(Suite(alerts, known=known)._left_out(Majority(), alerts.nights(), NIGHT))


def test_a_fixed_model_leaves_out_what_it_has_seen(alerts: AlertSet) -> None:
    suite = Suite(alerts)
    seen = str(alerts.objects[suite.rich[0]])
    model = FixedModel(Served(alerts.dataset.classes, [{"object": seen}]))
    index = model.unseen(alerts)
    assert set(alerts.objects[np.setdiff1d(alerts.labelled, index)]) == {seen}
    found = {one.name: one for one in suite.measure_fixed("ours", model, index)}
    assert len(found["ours"]) == len(index)
    ones = found[f"ours, {at_most(1)}"]
    assert set(ones.ids) == set(alerts.ids[np.intersect1d(index, suite.rich)])
    assert ones.predicted.mean() < found[f"ours, {at_most(5)}"].predicted.mean()


def test_other_classes_are_refused(alerts: AlertSet) -> None:
    with pytest.raises(ModelError, match="tells cat, dog apart"):
        FixedModel(Served(("cat", "dog"), [])).predict_proba(alerts, alerts.labelled)


def test_the_report_names_every_row_and_remakes_from_files(alerts: AlertSet, tmp_path) -> None:
    suite = Suite(alerts)
    found = {one.name: one for one in suite.measure(Majority(), groups=False)}
    model = FixedModel(Served(alerts.dataset.classes, []))
    found |= {one.name: one for one in suite.measure_fixed("metadata only", model, alerts.labelled)}
    for one in found.values():
        one.save(tmp_path)
    text = report(found, ["majority", "metadata only"])
    assert report(load_folder(tmp_path), ["majority", "metadata only"]) == text
    assert "### Confusion of majority" in text
    assert "agreement with drb" in text
    gains = text[text.index("### Gains") : text.index("### Recall")].splitlines()
    assert [line.split("|")[1].strip() for line in gains if line.startswith("| ")] == [
        "balanced accuracy less that of",
        "---",
        "majority",
    ]
    with pytest.raises(ModelError, match="holds no saved evaluation"):
        load_folder(tmp_path / "none")

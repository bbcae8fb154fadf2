from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.evaluation.metrics import accuracy
from fulgor.models.evaluation.result import Evaluation, paired


def evaluation(name: str = "ours", right: float = 0.8, count: int = 90, seed: int = 0) -> Evaluation:
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    said = np.where(random.random(count) < right, labels, (labels + 1) % 3)
    return Evaluation(
        name,
        ("a", "b", "c"),
        np.array([f"alert{n}" for n in range(count)]),
        np.array([f"object{n // 2}" for n in range(count)]),
        labels,
        labels % 2,
        np.eye(3)[said] * 0.7 + 0.1,
        {"seconds": 1.5},
    )


def test_saved_and_loaded(tmp_path: Path) -> None:
    ours = evaluation("Ours, 2 detections")
    path = ours.save(tmp_path / "new")
    assert path.name == "ours_2_detections.npz"
    again = Evaluation.load(path)
    assert (again.name, again.classes, again.about) == (ours.name, ours.classes, ours.about)
    assert (again.probabilities == ours.probabilities).all()
    assert (again.ids == ours.ids).all()


@pytest.mark.parametrize("damage", ["cut", "absent", "no json"])
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    path = evaluation().save(tmp_path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "absent":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    with pytest.raises(ModelError, match="no saved evaluation"):
        Evaluation.load(path)


def test_pairs_are_matched_by_alert() -> None:
    ours, theirs = evaluation("ours", 0.9), evaluation("theirs", 0.6, seed=1)
    order = np.random.default_rng(5).permutation(90)
    assert paired(accuracy, ours, theirs) == paired(accuracy, ours, theirs.part(theirs.ids[order]))
    assert paired(accuracy, ours, theirs).is_gain
    assert not paired(accuracy, theirs, ours).is_gain
    with pytest.raises(ModelError, match="not measured on alert alert80 and 9 others"):
        paired(accuracy, ours, theirs.part(theirs.ids[:80]))


def test_what_is_no_probability_is_refused() -> None:
    good = evaluation()
    bad = good.probabilities.copy()
    bad[3] = np.nan
    fields = (good.ids, good.objects, good.labels, good.folds)
    with pytest.raises(ModelError, match="not finite"):
        Evaluation("x", good.classes, *fields, bad)
    with pytest.raises(ModelError, match="differ in length"):
        Evaluation("x", good.classes, good.ids[1:], *fields[1:], good.probabilities)
    with pytest.raises(ModelError, match="none of its classes"):
        Evaluation("x", good.classes, good.ids, good.objects, good.labels + 1, good.folds, good.probabilities)


def test_other_classes_are_told_by_the_same_probabilities() -> None:
    ours = evaluation()
    some = ours.as_classes(("c", "a"))
    assert some.classes == ("c", "a")
    assert len(some) == 60
    assert (some.labels == np.where(ours.labels == 2, 0, 1)[ours.labels != 1]).all()
    expected = ours.probabilities[ours.labels != 1][:, [2, 0]]
    assert some.probabilities == pytest.approx(expected / expected.sum(1, keepdims=True))
    rest = ours.as_classes(("any", "b"))
    assert (rest.ids == ours.ids).all()
    assert (rest.labels == (ours.labels == 1)).all()
    assert rest.probabilities[:, 1] == pytest.approx(ours.probabilities[:, 1])
    with pytest.raises(ModelError, match="cannot be divided"):
        ours.as_classes(("x", "y"))

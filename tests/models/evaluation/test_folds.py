from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.evaluation import folds as module
from fulgor.models.evaluation.folds import (
    deal,
    draw,
    group_splits,
    inner_splits,
    outer_folds,
    reference_objects,
    splits,
)
from fulgor.models.layout import CLASSES

OBJECTS = np.array([f"o{number // 2}" for number in range(200)])
LABELS = np.array([(number // 2) % 7 - 1 for number in range(200)])


def test_an_object_is_in_one_fold_and_classes_are_spread() -> None:
    folds = deal(OBJECTS, LABELS)
    assert all(len(set(folds[name == OBJECTS])) == 1 for name in set(OBJECTS))
    for label in set(LABELS.tolist()):
        counts = np.bincount(folds[label == LABELS], minlength=5)
        assert counts.max() - counts.min() <= 2  # two alerts an object: one object


def test_order_of_the_alerts_is_of_no_account() -> None:
    order = np.random.default_rng(0).permutation(len(OBJECTS))
    assert (deal(OBJECTS[order], LABELS[order]) == deal(OBJECTS, LABELS)[order]).all()
    assert (deal(OBJECTS, LABELS, seed=4) != deal(OBJECTS, LABELS, seed=5)).any()


def test_splits_partition_by_object() -> None:
    folds = deal(OBJECTS, LABELS)
    found = list(splits(folds))
    assert sorted(np.concatenate([split.test for split in found]).tolist()) == list(range(200))
    for split in found:
        assert not set(OBJECTS[split.train]) & set(OBJECTS[split.test])
        assert len(split.train) + len(split.test) == 200


def test_inner_splits_never_see_the_outer_test() -> None:
    folds = deal(OBJECTS, LABELS)
    test = set(np.flatnonzero(folds == 2).tolist())
    inner = list(inner_splits(folds, 2))
    assert [split.fold for split in inner] == [0, 1, 3, 4]
    assert not any(test & {*split.train.tolist(), *split.test.tolist()} for split in inner)


def test_group_splits_leave_out_the_object_everywhere() -> None:
    groups = np.array([f"night{number % 4}" for number in range(200)])  # an object's two alerts in two nights
    tested = np.arange(200) < 100
    for split in group_splits(groups, OBJECTS, tested):
        assert set(groups[split.test]) == {f"night{split.fold}"}
        assert (split.test < 100).all()
        assert not set(OBJECTS[split.train]) & set(OBJECTS[split.test])
        assert f"night{split.fold}" not in groups[split.train]


def test_draw_is_fixed_and_refuses_too_few() -> None:
    assert draw(OBJECTS, 10) == draw(OBJECTS[::-1], 10)
    with pytest.raises(ModelError, match="only 100"):
        draw(OBJECTS, 101)


def test_the_frozen_table_has_not_changed() -> None:
    content = Path(module.__file__).with_name("ztf_folds.json").read_bytes()
    digest = "0f34c6e28ca12532ff1fc8feb4f92c91df220cb7320889a7f1c34e9878099ac7"
    assert hashlib.sha256(content).hexdigest() == digest, "figures on other folds cannot be compared with earlier ones"


def test_unknown_objects_do_not_move_the_frozen_ones() -> None:
    frozen = next(iter(module._table()["fold"].items()))
    folds = outer_folds([frozen[0], *OBJECTS], np.array([0, *LABELS]))
    assert folds[0] == frozen[1]
    assert (folds[1:] == deal(OBJECTS, LABELS)).all()


@pytest.mark.real
def test_the_frozen_table_is_what_the_deal_gives(shared: Path) -> None:
    with (shared / "data/ztf/labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["objectId"] for row in rows]
    labels = np.array([CLASSES.index(row["label"]) if row["label"] in CLASSES else -1 for row in rows])
    assert len(rows) == 796
    assert (deal(names, labels) == outer_folds(names, labels)).all()
    assert set(module._table()["fold"]) == set(names)
    with (shared / "data/ztf_unlabelled/alerts.csv").open(newline="", encoding="utf-8") as file:
        others = [row["objectId"] for row in csv.DictReader(file)]
    assert frozenset(draw(others)) == reference_objects()
    assert len(reference_objects()) == 150
    assert not reference_objects() & set(names)

"""Pictures of how good a classifier is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fulgor.models.evaluation.bootstrap import Interval
from fulgor.models.evaluation.metrics import reliability
from fulgor.models.evaluation.result import Evaluation
from fulgor.plots.evaluation import by_detections, confusion_matrix, reliability_diagram, roc_curves, save_pictures

NAN = float("nan")


def evaluation(name: str, seed: int = 0, count: int = 60) -> Evaluation:
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    probabilities = random.dirichlet([1, 1, 1], count) * 0.5 + np.eye(4)[:, :3][labels] * 0.5
    names = np.array([f"o{number}" for number in range(count)])
    four = np.concatenate([probabilities, np.zeros((count, 1))], axis=1)
    return Evaluation(name, ("a", "b", "c", "d"), names, names, labels, labels, four)


def test_a_cell_says_its_part_and_interval():
    some, none = Interval(0.75, 0.5, 0.9), Interval(NAN, NAN, NAN)
    axes = confusion_matrix([[some, some], [none, none]], ("AGN", "SN"), (4, 0)).axes[0]
    assert [text.get_text() for text in axes.texts if text.get_text()[0] == "0"] == ["0.75", "0.50-0.90"] * 2
    assert [label.get_text() for label in axes.get_yticklabels()] == ["AGN\n4", "SN\n0"]


def test_reliability_names_the_error():
    one = evaluation("ours")
    curve = reliability(one.labels, one.probabilities)
    axes = reliability_diagram({"ours": curve}).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"ours, ECE {curve.error:.2f}"]
    assert (axes.lines[1].get_ydata() == curve.correct).all()


def test_roc_names_the_area():
    axes = roc_curves({"SN": (np.array([0, 0.2, 1]), np.array([0, 0.9, 1]), 0.85)}).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["SN, 0.850"]


def test_methods_stand_side_by_side():
    rows = {name: {1: Interval(0.5, 0.4, 0.6), 2: Interval(0.6, 0.5, 0.7)} for name in ("ours", "theirs")}
    axes = by_detections(rows, 17).axes[0]
    places = [container.lines[0].get_xdata() for container in axes.containers]
    assert places[0] == pytest.approx([0.97, 1.97])
    assert places[1] == pytest.approx([1.03, 2.03])
    assert "17 alerts" in axes.get_xlabel()


def test_pictures_of_what_was_measured(tmp_path: Path):
    found = {name: evaluation(name, seed) for seed, name in enumerate(("ours", "theirs"))}
    save_pictures(found, ["ours", "theirs"], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"confusion.png", "reliability.png", "roc.png"}
    found |= {f"{name}, at most 2 detections": evaluation(name) for name in ("ours", "theirs")}
    save_pictures(found, ["ours", "theirs"], tmp_path)
    assert (tmp_path / "detections.png").stat().st_size > 5000

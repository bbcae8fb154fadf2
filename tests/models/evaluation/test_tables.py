from __future__ import annotations

import numpy as np

from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.tables import clustering_table, differences_table


def _evaluation(name: str, right: float) -> Evaluation:
    count, random = 120, np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int64) % 3
    told = np.eye(3)[np.where(random.random(count) < right, labels, (labels + 1) % 3)]
    ids = np.array([str(n) for n in range(count)])
    return Evaluation(name, ("a", "b", "c"), ids, ids, labels, labels, told * 0.8 + 0.2 / 3)


def test_ours_is_compared_in_the_classes_and_on_the_alerts_of_each_other() -> None:
    ours, weak = _evaluation("ours", 0.9), _evaluation("weak", 0.5)
    same = _evaluation("same", 0.9).as_classes(("a", "b")).part(np.array(["0", "1", "3", "4"]))
    head, _, first, second = differences_table(ours, [weak, same]).splitlines()
    assert head == "| ours less | alerts | balanced accuracy | accuracy | mean AUROC |"
    assert first.startswith("| weak | 120 | **+0.")
    assert second.startswith("| same | 4 | +0.000 [+0.000, +0.000] |")


def test_a_clustering_by_chance_and_one_that_is_right() -> None:
    text = clustering_table([_evaluation("right", 1.0), _evaluation("poor", 0.4)])
    assert "| right | 120 | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] |" in text
    assert "| poor | 120 | 0.3" in text

from __future__ import annotations

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.ablation.tables import report, table
from fulgor.models.evaluation.result import Evaluation

LABELS = np.arange(200) % 2
NAMES = np.array([f"alert{number:03}" for number in range(200)])


def run(name: str, seed: int, right: int, names: np.ndarray = NAMES) -> Evaluation:
    """The first ``right`` alerts of each class are told, the others mistaken."""
    told = np.where(np.arange(200) // 2 < right, LABELS, 1 - LABELS)
    about = {"configuration": name, "axis": "width", "seed": seed, "seconds": 10.0 * (1 + seed), "parameters": 1234}
    folds = np.zeros(200, np.int64)
    return Evaluation(name, ("x", "y"), names, names, LABELS, folds, np.eye(2)[told] * 0.8 + 0.1, about)


def cells(text: str, name: str) -> list[str]:
    return next(line for line in text.splitlines() if f"| {name} |" in line).strip("| ").split(" | ")


def test_a_row_is_the_mean_over_its_seeds_beside_the_base() -> None:
    found = [run("f8", 0, 95), run("base", 1, 80), run("base", 0, 70)]
    text = table(found)
    _, name, seeds, weights, seconds, accuracy, *_, balanced, spread, less = cells(text, "base")
    assert (name, seeds, weights, seconds, accuracy, less) == ("base", "2", "1,234", "15", "0.750", "-")
    assert balanced.startswith("0.750 [")
    assert float(spread) == pytest.approx(np.std([0.7, 0.8], ddof=1), abs=1e-3)
    *_, alone, gain = cells(text, "f8")
    assert alone == "-"
    assert gain.startswith("**+0.200 [+0.1")
    assert text.index("| base |") < text.index("| f8 |")


def test_no_difference_is_not_bold() -> None:
    assert cells(table([run("base", 0, 80), run("f8", 0, 80)]), "f8")[-1] == "+0.000 [+0.000, +0.000]"


def test_simulated_and_real_alerts_stand_apart_and_rulers_beside_the_real_ones() -> None:
    results = [{"simulated": run("base", 0, 80), "real": run("base", 0, 75)}, {"real": run("real alerts only", 0, 60)}]
    ruler = Evaluation(
        "metadata only", ("x", "y"), NAMES, NAMES, LABELS, LABELS, np.eye(2)[LABELS], about={"seconds": 1.5}
    )
    simulated, real = report(results, [ruler]).split("### Real alerts")
    assert simulated.startswith("### Simulated alerts")
    assert "real alerts only" not in simulated
    assert "metadata only" not in simulated
    assert cells(real, "metadata only")[0] == "ruler"
    assert cells(real, "real alerts only")[-1].startswith("**-0.150")


def test_rows_of_other_alerts_and_a_table_without_a_base_are_refused() -> None:
    with pytest.raises(ModelError, match="the base has not been run"):
        table([run("f8", 0, 80)])
    with pytest.raises(ModelError, match="'f8' was measured on other alerts"):
        table([run("base", 0, 80), run("f8", 0, 80, NAMES[::-1])])

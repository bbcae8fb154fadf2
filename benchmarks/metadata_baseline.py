"""How well metadata alone tell the classes, on simulated and on real alerts (needs scikit-learn).

python benchmarks/metadata_baseline.py --data ../shared/data --count 4000 --seed 21
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from fulgor.replay.simulate.ztf import CLASSES, simulate

CATALOGUE = ("sgscore1", "sgscore2", "sgscore3", "distpsnr1", "distpsnr2", "distpsnr3")
MEASURED = ("fwhm", "magpsf", "sigmapsf", "diffmaglim", "classtar", "chinr", "sharpnr")
HISTORY = ("ndethist", "ncovhist")


def features(record: dict[str, Any], history: bool) -> list[float]:
    candidate = record["candidate"]
    row = [max(candidate[name] if candidate[name] is not None else -1.0, -1.0) for name in CATALOGUE]
    row += [candidate[name] if candidate[name] is not None else -1.0 for name in MEASURED]
    row += [candidate[name] for name in HISTORY] if history else []
    limits = sum(entry["magpsf"] is None for entry in record.get("prv_candidates") or [])
    return [*row, float(candidate["isdiffpos"] == "t"), float(limits)]


def real(data: Path) -> Iterator[tuple[dict[str, Any], str]]:
    table = pd.read_csv(data / "ztf" / "labels.csv")
    for file, rows in table[table["label"].isin(CLASSES)].groupby("file"):
        records = list(fastavro.reader(io.BytesIO((data / "ztf" / str(file)).read_bytes())))
        yield from ((records[row["rec"]], row["label"]) for _, row in rows.iterrows())


def arrays(alerts: Iterable[tuple[dict[str, Any], str]], history: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pairs = list(alerts)
    rows = np.array([features(record, history) for record, _ in pairs], dtype=float)
    names = np.array([record["objectId"] for record, _ in pairs])
    return rows, np.array([label for _, label in pairs]), np.unique(names, return_inverse=True)[1]


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(300, random_state=0, class_weight="balanced", min_samples_leaf=3)


def report(name: str, truth: np.ndarray, found: np.ndarray) -> None:
    print(f"| {name} | {accuracy_score(truth, found):.2f} | {balanced_accuracy_score(truth, found):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=21)
    arguments = parser.parse_args()
    simulated = [(alert.record, alert.label) for alert in simulate(arguments.count, arguments.seed)]
    print("| features: trained on, tested on | accuracy | mean recall |\n|---|---|---|")
    for name, history in (("all", True), ("no ndethist, ncovhist", False)):
        rows, labels, groups = arrays(simulated, history)
        held = groups % 4 == 0
        model = forest().fit(rows[~held], labels[~held])
        report(f"{name}: simulated, simulated", labels[held], model.predict(rows[held]))
        others, truth, objects = arrays(real(arguments.data), history)
        report(f"{name}: simulated, real", truth, model.predict(others))
        found = cross_val_predict(forest(), others, truth, groups=objects, cv=GroupKFold(5))
        report(f"{name}: real, real", truth, found)


if __name__ == "__main__":
    main()

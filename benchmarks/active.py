"""Active anomaly search on real alerts: what ten judgements are worth.

    python benchmarks/active.py --data ../shared/data

Supernovae and tidal disruption events are what somebody looks for, among all labelled alerts. A start
draws 70 % of the objects and a forest's seed. Ten times the first alert of the order is judged and the
rest re-ranked by what `fulgor latents rerank` does; counted is what is interesting among the next 20.
Without feedback, the next 20 are those that the anomaly score puts behind its first ten.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fulgor.models.scores.rerank import rerank
from fulgor.models.serving import SHIPPED, load
from fulgor.preprocessing.ztf import prepare
from fulgor.replay.labelled import labelled_alerts

INTERESTING = ("SN", "TDE")
STARTS, JUDGED, SHOWN, PART = 20, 10, 20, 0.7


def predicted(data: Path, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """What the model gives for the labelled alerts, whether each is interesting, and its object."""
    kept = [(prepare(alert), label, alert.object_id) for alert, label, _ in labelled_alerts(data / "ztf") if label]
    kept = [row for row in kept if not row[0].unscorable]
    arrays = {name: np.stack([row[0].arrays[name] for row in kept]) for name in kept[0][0].arrays}
    found = load(folder, "cpu").predict(arrays)
    return found, np.array([row[1] in INTERESTING for row in kept]), np.array([row[2] for row in kept])


def session(latents: np.ndarray, anomaly: np.ndarray, interesting: np.ndarray, seed: int) -> tuple[int, int, int]:
    """Interesting ones among the next 20 with feedback and without, and among the ten that were judged."""
    judged = np.empty(0, dtype=int)
    rest = np.argsort(-anomaly, kind="stable")
    without = interesting[rest[JUDGED : JUDGED + SHOWN]].sum()
    for _ in range(JUDGED):
        judged = np.append(judged, rest[0])
        left = np.setdiff1d(np.arange(len(latents)), judged)
        rest = left[rerank(latents[left], anomaly[left], latents[judged], interesting[judged], seed=seed)]
    return int(interesting[rest[:SHOWN]].sum()), int(without), int(interesting[judged].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--model", type=Path, default=SHIPPED / "ztf-sim", help="trained on no real label")
    arguments = parser.parse_args()
    found, interesting, objects = predicted(arguments.data, arguments.model)
    names = np.unique(objects)
    rows = []
    for seed in range(STARTS):
        drawn = np.random.default_rng(seed).choice(names, round(PART * len(names)), replace=False)
        here = np.isin(objects, drawn)
        rows.append(session(found["latent"][here], found["anomaly"][here], interesting[here], seed))
    table = np.array(rows)
    print(f"{len(objects)} real alerts, {interesting.sum()} of them {' or '.join(INTERESTING)}; {STARTS} starts")
    expected = SHOWN * interesting.mean()
    print(f"| interesting among the next {SHOWN} | mean | least | most |\n|---|---|---|---|")
    for name, column in (("after 10 judgements", table[:, 0]), ("no feedback", table[:, 1])):
        print(f"| {name} | {column.mean():.1f} | {column.min()} | {column.max()} |")
    print(f"| at random | {expected:.1f} | | |")
    gain = table[:, 0] - table[:, 1]
    print(f"better in {(gain > 0).sum()} of {STARTS} starts, worse in {(gain < 0).sum()}; mean gain {gain.mean():+.1f}")
    print(f"interesting among the ten that were judged: {table[:, 2].mean():.1f}")


if __name__ == "__main__":
    main()

"""Train the baselines of others in our folds, and save their evaluations beside those of the rulers.

    OMP_NUM_THREADS=1 python benchmarks/baselines.py --data ../shared/data/ztf --out evaluation-ztf --simulated 1500

Then ``python benchmarks/tables.py evaluation-ztf`` prints every method in one set of tables. Times are of the
processor, so a busy machine gives the same budget.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from fulgor.models.baselines.method import Budget, as_real_bogus, baselines, real_bogus
from fulgor.models.evaluation.alerts import AlertSet, LabelledAlert
from fulgor.models.evaluation.rulers import RULERS
from fulgor.models.evaluation.suite import Suite
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import encode, simulate


def simulated_alerts(count: int, seed: int) -> AlertSet:
    decode = ZtfDecoder()
    rows = ((decode(encode([one.record]))[0], one.label) for one in simulate(count, seed))
    return AlertSet.gather(LabelledAlert(alert, label, "simulated") for alert, label in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="labelled archive")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--simulated", type=int, default=0, help="alerts to pre-train on; 0: none")
    parser.add_argument("--seconds", type=float, default=30, help="processor time of one fit")
    parser.add_argument("--pretraining", type=float, default=60, help="processor time of the pre-training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="methods whose names contain this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    budget = Budget(seconds=given.seconds, pretraining=given.pretraining, seed=given.seed)
    alerts = AlertSet.gather(labelled_alerts(given.data))
    simulated = simulated_alerts(given.simulated, seed=1000 + given.seed) if given.simulated else None
    boosting = [ruler for ruler in RULERS if ruler.name == "metadata only"]
    for what, methods, folder in (
        (alerts, baselines(budget, simulated), given.out),
        (as_real_bogus(alerts), (*boosting, *real_bogus(budget, simulated)), given.out / "real_bogus"),
    ):
        suite = Suite(what)
        for method in methods:
            if given.only in method.name:
                for found in suite.measure(method, groups=False):
                    found.save(folder)
                print(f"{method.name}: saved in {folder}", flush=True)


if __name__ == "__main__":
    main()

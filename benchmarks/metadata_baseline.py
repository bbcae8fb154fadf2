"""How well metadata alone tell the classes, learnt on simulated and on real alerts: what the simulator gives away.

python benchmarks/metadata_baseline.py --data ../shared/data/ztf --count 2000 --seed 21
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from baselines import simulated_alerts

from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import outer_folds, splits
from fulgor.models.evaluation.rulers import RULERS
from fulgor.models.evaluation.tables import figures_table
from fulgor.models.evaluation.validation import cross_validate, predict
from fulgor.replay.labelled import labelled_alerts

SHOWN = ("metadata only", "metadata only, forest", "metadata without counts and positions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="labelled archive")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=21)
    given = parser.parse_args()
    real, simulated = AlertSet.gather(labelled_alerts(given.data)), simulated_alerts(given.count, given.seed)
    found = []
    for ruler in RULERS:
        if ruler.name in SHOWN:
            for what, alerts in (("simulated, folds", simulated), ("real, folds", real)):
                within = splits(outer_folds(alerts.objects, alerts.labels))
                found.append(replace(cross_validate(ruler, alerts, within)[""], name=f"{ruler.name}: {what}"))
            across = ruler.fit(simulated, simulated.labelled)
            found.append(predict(f"{ruler.name}: simulated to real", across, real, real.labelled))
    print(figures_table(found))


if __name__ == "__main__":
    main()

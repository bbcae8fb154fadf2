"""Train the baselines of others in our folds, and save their evaluations beside those of the rulers.

    OMP_NUM_THREADS=1 python benchmarks/baselines.py --data ../shared/data/ztf --out evaluation-ztf --simulated 1500

Then ``python benchmarks/tables.py evaluation-ztf`` prints every method in one set of tables, and the same with
``evaluation-ztf/real_bogus``, ``evaluation-ztf/transients`` and ``evaluation-ztf/clustering`` those of other tasks.
Times are of the processor, so a busy machine gives the same budget. Simulated alerts and pre-trained weights are
kept beside the evaluations: with ``--only NAME``, a long run can be had in pieces.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from fulgor.models.baselines.lineup import as_real_bogus, as_transients, baselines, clusterings, real_bogus, transients
from fulgor.models.baselines.method import Budget
from fulgor.models.evaluation.alerts import AlertSet, LabelledAlert
from fulgor.models.evaluation.rulers import RULERS
from fulgor.models.evaluation.suite import Suite
from fulgor.models.evaluation.validation import Method
from fulgor.preprocessing.ztf import ZtfDecoder
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import encode, simulate, write_archive


def simulated_alerts(count: int, seed: int) -> AlertSet:
    decode = ZtfDecoder()
    rows = ((decode(encode([one.record]))[0], one.label) for one in simulate(count, seed))
    return AlertSet.gather(LabelledAlert(alert, label, "simulated") for alert, label in rows)


def kept_alerts(count: int, seed: int, folder: Path) -> AlertSet:
    """Return simulated alerts, from the archive that an earlier run has left."""
    archive = folder / f"simulated_{count}_seed_{seed}"
    if not archive.exists():
        begun = archive.with_suffix(".part")
        shutil.rmtree(begun, ignore_errors=True)
        write_archive(simulate(count, seed), begun)
        begun.rename(archive)
    return AlertSet.gather(labelled_alerts(archive))


def tasks(
    alerts: AlertSet, budget: Budget, simulated: AlertSet | None, out: Path, kept: Path
) -> Iterator[tuple[AlertSet, Sequence[Method], Path]]:
    """Yield alerts, the methods that are measured on them, and the folder of their evaluations."""
    metadata = [ruler for ruler in RULERS if ruler.name in ("metadata only", "metadata only, forest")]
    yield alerts, baselines(budget, simulated, kept), out
    yield as_real_bogus(alerts), (*metadata[:1], *real_bogus(budget, simulated, kept)), out / "real_bogus"
    yield as_transients(alerts), (*metadata, *transients(budget, simulated, kept)), out / "transients"
    yield alerts, clusterings(budget), out / "clustering"


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
    kept = given.out / "pretrained" / f"{given.simulated}_alerts_{given.pretraining:g}_seconds_seed_{given.seed}"
    alerts = AlertSet.gather(labelled_alerts(given.data))
    simulated = kept_alerts(given.simulated, 1000 + given.seed, given.out) if given.simulated else None
    for what, methods, folder in tasks(alerts, budget, simulated, given.out, kept):
        suite = Suite(what)
        for method in methods:
            if given.only in method.name:
                for found in suite.measure(method, groups=False):
                    found.save(folder)
                print(f"{method.name}: saved in {folder}", flush=True)


if __name__ == "__main__":
    main()

"""What each part of the ZTF network is worth: a queue of configurations, and its tables (docs/ablations.md).

    OMP_NUM_THREADS=1 python benchmarks/ablation.py --data ../shared/data --work /var/tmp/ablation
    python benchmarks/ablation.py --work /var/tmp/ablation --table

``--data`` holds ``ztf``, labelled alerts, and ``ztf_unlabelled``, others. The first call simulates its alerts
and keeps them in the work folder. Every run leaves its result there: a queue that was killed, or stopped by
``--minutes``, goes on. A network of another size is asked for by name: ``--only "base, 63 px"``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from anomaly import kept, simulated_alerts

from fulgor.cli.train_ztf import POSITIONS
from fulgor.models.ablation.configurations import CONFIGURATIONS, Configuration, named
from fulgor.models.ablation.queue import Queue
from fulgor.models.ablation.run import Material, measured, searched
from fulgor.models.ablation.tables import report
from fulgor.models.dataset import Dataset, Example
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import outer_folds, reference_objects
from fulgor.models.evaluation.report import load_folder
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.rulers import RULERS
from fulgor.models.evaluation.validation import cross_validate
from fulgor.models.layout import CLASSES
from fulgor.preprocessing.ztf import ZtfDecoder, prepare
from fulgor.preprocessing.ztf.features import FEATURE_NAMES
from fulgor.replay.archive import open_archive
from fulgor.replay.labelled import labelled_alerts

SIMULATED = 2000
SEED = 30001
BESIDE = ("metadata only", "metadata only, forest", "provenance only")


def unlabelled_alerts(archive: Path, but: set[str]) -> Dataset:
    """Alerts of other objects than those named, nor of the score reference."""
    decoder, left_out = ZtfDecoder(), but | reference_objects()

    def examples() -> Iterator[Example]:
        for message in open_archive(archive):
            for alert in decoder(message.value):
                if alert.object_id not in left_out:
                    yield Example(prepare(alert).arrays, None, alert.object_id)

    return Dataset.gather(examples(), CLASSES)


def material(data: Path, work: Path) -> Material:
    simulated = kept(work / "simulated", lambda: simulated_alerts(SIMULATED, SEED))
    real = AlertSet.gather(labelled_alerts(data / "ztf"))
    unlabelled = unlabelled_alerts(data / "ztf_unlabelled", set(real.objects.tolist()))
    return Material(simulated, real, unlabelled, tuple(FEATURE_NAMES.index(name) for name in POSITIONS))


def measure_rulers(work: Path, real: AlertSet) -> None:
    """The rulers, by the same divisions; they know positions, counts and collections."""
    if len([*(work / "rulers").glob("*.json")]) == len(BESIDE):
        return
    folds = outer_folds(real.objects, real.labels)
    for ruler in RULERS:
        if ruler.name in BESIDE:
            cross_validate(ruler, real, searched(folds))[""].save(work / "rulers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the archives ztf and ztf_unlabelled")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", action="append", help="names of configurations, in this order; by default all")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each, with seeds from 0")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so many")
    parser.add_argument("--table", action="store_true", help="print the tables, run nothing")
    given = parser.parse_args()
    queue, begun = Queue(given.work / "runs"), time.monotonic()
    if given.table:
        print(report(queue.results(), load_folder(given.work / "rulers").values()))
        return
    if given.data is None:
        parser.error("--data is needed to run the queue")
    torch.set_num_threads(1)
    shared = material(given.data, given.work)
    measure_rulers(given.work, shared.real)
    chosen = [named(name) for name in given.only or CONFIGURATIONS]

    def run(configuration: Configuration, seed: int) -> dict[str, Evaluation]:
        found = measured(configuration, seed, shared)
        print(f"{configuration.name}, seed {seed}: {found['real'].about['seconds']} s", flush=True)
        return found

    runs = [(one, seed) for seed in range(given.seeds) for one in chosen]
    done = queue.run(runs, run, lambda: time.monotonic() - begun < 60 * given.minutes)
    left = sum(not queue.done(*one) for one in runs)
    print(f"{done} runs done, {left} left")


if __name__ == "__main__":
    main()

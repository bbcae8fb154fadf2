"""What stored stamp latents of earlier alerts are worth: the same encoder, with and without them. Simulated alerts.

    python benchmarks/lookback.py [--count 2500] [--seed 4242] [--seeds 3] [--work FOLDER]

The encoder is the one that ships in ``ztf-sim``, frozen; the archive is of another seed than its training. All behind
the encoder is trained anew, twice on the same views, from the same seed: over the packet's photometry alone, and with
the stamp latents of the object's earlier alerts in the archive beside it. Folds by object, another deal for
each seed. The model of stored history is also asked with its history withheld. What is in FOLDER is not made again.

    python benchmarks/lookback.py --links ARCHIVE --links ARCHIVE ...

counts instead how many alerts of archives are found again, by object and exact Julian date, in the packets of their
objects' later alerts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from fulgor.errors import MalformedError
from fulgor.models.card import read_card
from fulgor.models.cuda import load_network
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.bootstrap import Bootstrap
from fulgor.models.evaluation.folds import deal, splits
from fulgor.models.evaluation.metrics import balanced_accuracy
from fulgor.models.finetuning import TuningConfig, Views, tune, views
from fulgor.models.layout import DETECTION
from fulgor.models.lookback import ABSENT, earlier_alerts
from fulgor.models.serving import SHIPPED
from fulgor.models.ztf import ZtfNetwork
from fulgor.preprocessing.ztf import DEFAULT, ZtfAlert, ZtfDecoder
from fulgor.preprocessing.ztf.lightcurve import light_curve
from fulgor.replay.archive import open_archive
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import simulate, write_archive

ARMS = ("photometry only", "stored history", "stored history, withheld")
FOLDS = 3
VIEWS = 4

Figures = dict[str, np.ndarray]


def read(work: Path, count: int, seed: int) -> AlertSet:
    archive = work / f"archive-{count}-{seed}"
    if not archive.exists():
        part = archive.with_suffix(".part")
        write_archive(simulate(count=count, seed=seed), part)
        part.rename(archive)
    return AlertSet.gather(labelled_alerts(archive))


@torch.no_grad()
def told(network: ZtfNetwork, asked: Views) -> np.ndarray:
    """Return the probabilities of alerts as they are, each with what it looks back on."""
    batch = asked.batch
    slots = asked.history.slots(torch.arange(len(asked.latents))) if asked.history else ()
    latent = network.combined(asked.latents[:, 0], batch.sequence, batch.sequence_mask, batch.features, *slots)
    return np.asarray(torch.softmax(network.classifier(latent), dim=1).double())


def measured(base: ZtfNetwork, known: Views, alerts: AlertSet, seed: int, steps: int) -> Figures:
    """Return the probabilities (N, classes) of each arm, each alert told by a model that saw none of its object."""
    config = TuningConfig(steps=steps, seed=seed)
    folds = deal(alerts.objects, alerts.labels, count=FOLDS, seed=seed)
    found = {arm: np.zeros((len(alerts), len(alerts.dataset.classes))) for arm in ARMS}
    for split in splits(np.where(alerts.labels < 0, -1, folds)):
        train, test = (known.part(torch.from_numpy(part)) for part in (split.train, split.test))
        plain = tune(base, train._replace(history=None), None, config)
        remembers = tune(base, train, None, config)
        withheld = test._replace(history=None)
        asked = ((plain, withheld), (remembers, test), (remembers, withheld))
        for arm, (network, part) in zip(ARMS, asked, strict=True):
            found[arm][split.test] = told(network, part)
    return found


def runs(options: argparse.Namespace, work: Path, alerts: AlertSet) -> Iterator[Figures]:
    """Yield the figures of each seed, from the folder where they are there."""
    base = known = None
    for seed in range(options.seeds):
        kept = work / f"{options.count}-{options.seed}-{options.steps}-{seed}.npz"
        if not kept.exists():
            if base is None or known is None:
                folder = SHIPPED / "ztf-sim"
                base = load_network(folder, read_card(folder))
                how = TuningConfig().augmentation
                known = views(base, alerts.dataset, np.arange(len(alerts)), how, VIEWS, 0, history=True)
            found = measured(base, known, alerts, seed, options.steps)
            np.savez(kept, allow_pickle=False, **found)
        with np.load(kept) as file:
            yield {arm: file[arm] for arm in ARMS}


def table(alerts: AlertSet, found: list[Figures], chosen: np.ndarray, title: str) -> None:
    """Print balanced accuracy and paired differences over all seeds; an object's alerts are drawn together."""
    labels, objects = (np.tile(part[chosen], len(found)) for part in (alerts.labels, alerts.objects))
    arms = {arm: np.concatenate([one[arm][chosen] for one in found]) for arm in ARMS}
    resamples = Bootstrap(objects)
    print(f"\n{title}: {len(chosen)} alerts of {len(np.unique(objects))} objects, simulated, {len(found)} seeds")
    for arm, probabilities in arms.items():
        each = [balanced_accuracy(alerts.labels[chosen], one[arm][chosen]) for one in found]
        figure = resamples.interval(balanced_accuracy, labels, probabilities)
        gain = resamples.difference(balanced_accuracy, labels, probabilities, arms[ARMS[0]])
        print(f"| {arm} | {figure} | {gain} | {', '.join(f'{float(value):.3f}' for value in each)} |")


def links(archives: list[Path]) -> None:
    """Print how many earlier alerts, not older than a packet's first step, have a detection of exactly their time."""
    decode, found = ZtfDecoder(), defaultdict[str, dict[int, tuple[float, np.ndarray]]](dict)
    for message in (message for archive in archives for message in open_archive(archive)):
        try:
            records = decode(message.value)
        except MalformedError:
            continue
        for alert in records:
            if isinstance(alert, ZtfAlert):
                curve = light_curve(alert, DEFAULT.sequence_length)
                detected = np.where(curve.sequence[:, DETECTION] > 0, curve.times, np.nan)
                found[alert.object_id][alert.candid] = alert.jd, np.append(np.nanmin(curve.times), detected)
    pairs = [
        jd in times[1:]
        for alerts in found.values()
        for own, times in alerts.values()
        for jd, _ in alerts.values()
        if times[0] <= jd < own
    ]
    count = sum(map(len, found.values()))
    print(
        f"{count} alerts of {len(found)} objects: {sum(pairs)} of {len(pairs)} earlier alerts have a step of their time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=4242, help="of the archive")
    parser.add_argument("--seeds", type=int, default=3, help="trainings, each with folds of its own")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--links", type=Path, action="append", help="archive in which alerts are to be found again")
    options = parser.parse_args()
    if options.links:
        links(options.links)
        return
    torch.set_num_threads(1)
    work = options.work or Path(tempfile.mkdtemp(prefix="fulgor-lookback-"))
    work.mkdir(parents=True, exist_ok=True)
    alerts = read(work, options.count, options.seed)
    known = earlier_alerts(alerts.dataset) != ABSENT
    later = np.flatnonzero(known.any(axis=1) & (alerts.labels >= 0))
    found = list(runs(options, work, alerts))
    print(f"{len(alerts)} alerts; {len(later)} look back, on {known[later].sum(1).mean():.1f} earlier alerts each")
    table(alerts, found, alerts.labelled, "all")
    table(alerts, found, later, "those that look back")


if __name__ == "__main__":
    main()

"""What each part of the shipped ZTF model is worth on real alerts: the same tuning without it, in the frozen folds.

    python benchmarks/parts.py --data ALERTS --unlabelled UNLABELLED --rehearse simulated --base ztf-sim --out parts

Every row is tuned anew for each outer fold, as the shipped ``ztf`` is, from the same base; only what the joined latent
may see differs, or the seed, or whether simulated alerts are used. Probabilities are not calibrated here (that changes
neither accuracy). The outer folds are used to report, never to choose: nothing here may decide what ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fulgor.cli.tune_ztf import material, read_alerts
from fulgor.models.adaptation import FineTuning
from fulgor.models.evaluation.folds import outer_folds, splits
from fulgor.models.evaluation.metrics import accuracy, balanced_accuracy
from fulgor.models.evaluation.result import Evaluation, paired, slug
from fulgor.models.evaluation.validation import cross_validate
from fulgor.models.finetuning import TuningConfig
from fulgor.models.ztf import ZtfNetwork


class Variant(NamedTuple):
    """One row: what the object latent sees, the seed, whether the encoder is trained, simulated alerts in each step."""

    name: str
    sees: tuple[str, ...] = ("curve", "metadata", "stamps")
    seed: int = 0
    trained: bool = True
    rehearsed: int = 32


VARIANTS = (
    Variant("ztf"),
    Variant("ztf, seed 1", seed=1),
    Variant("ztf, seed 2", seed=2),
    Variant("without stamps", ("curve", "metadata")),
    Variant("without light curve", ("metadata", "stamps")),
    Variant("without metadata", ("curve", "stamps")),
    Variant("stamps only", ("stamps",)),
    Variant("metadata only", ("metadata",)),
    Variant("light curve only", ("curve",)),
    Variant("no simulated alerts while tuning", rehearsed=0),
    Variant("no simulated alerts at all, encoder untrained", trained=False, rehearsed=0),
)

SEEDS = tuple(one.name for one in VARIANTS[:3])
"""Variants that differ in nothing but the seed."""


def changed(base: ZtfNetwork, variant: Variant) -> ZtfNetwork:
    """Return a base that differs from the given one as a variant says; its encoder alone is what the tuning keeps."""
    torch.manual_seed(variant.seed)
    network = ZtfNetwork(replace(base.architecture, sees=variant.sees))
    if variant.trained:
        network.encoder.load_state_dict(base.encoder.state_dict())
        network.stamp_decoder.load_state_dict(base.stamp_decoder.state_dict())
    return network.eval().requires_grad_(False)


class Uncalibrated(FineTuning):
    """The tuning, without the models that only its temperature needs."""

    def _temperature(self, *_: object) -> float:
        return 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "unlabelled", "rehearse", "base", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="where prepared alerts are kept")
    parser.add_argument("--only", default="", help="variants whose names contain this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    alerts = read_alerts([given.data], None)
    found = material(
        given.base, [given.unlabelled], given.rehearse, set(alerts.objects.tolist()), cache=given.cache
    )  # fmt: skip
    for variant in VARIANTS:
        if given.only in variant.name and not (given.out / f"{slug(variant.name)}.npz").exists():
            config = TuningConfig(seed=variant.seed, rehearsed=variant.rehearsed)
            method = Uncalibrated(changed(found.base, variant), found.others, found.rehearsal, config)
            method.name = variant.name
            cross_validate(method, alerts, splits(outer_folds(alerts.objects, alerts.labels)))[""].save(given.out)
            print("done:", variant.name, flush=True)
    show(given.out)


def together(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return what several models say on average."""
    first, *others = evaluations
    said = np.mean([first.probabilities, *(other.part(first.ids).probabilities for other in others)], axis=0)
    return replace(first, name=f"{len(evaluations)} seeds together", probabilities=said)


def show(folder: Path) -> None:
    """Print the table of what is done."""
    paths = {variant.name: folder / f"{slug(variant.name)}.npz" for variant in VARIANTS}
    rows = {name: Evaluation.load(path) for name, path in paths.items() if path.exists()}
    seeds = [rows[name] for name in SEEDS if name in rows]
    if len(seeds) > 1:
        both = together(seeds)
        rows[both.name] = both
    print("| | balanced accuracy | less that of `ztf` | accuracy |\n|---|---|---|---|")
    for name, one in rows.items():
        gain = "" if name == VARIANTS[0].name else str(paired(balanced_accuracy, one, rows[VARIANTS[0].name]))
        print(f"| {name} | {one.figure(balanced_accuracy)} | {gain} | {one.figure(accuracy)} |")


if __name__ == "__main__":
    main()

"""Which baselines are measured, by what they tell apart."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from fulgor.models.baselines import braai, deep_hits
from fulgor.models.baselines.clustering import Clustering
from fulgor.models.baselines.course import AutoencoderGru, rebuilt_and_classified
from fulgor.models.baselines.method import Baseline, Budget, classified
from fulgor.models.baselines.sequences import ConvLstm, TemporalStamps
from fulgor.models.baselines.views import (
    AlerceStamps,
    ImageSequences,
    beside_metadata,
    flipped,
    over_time,
    turned,
    whole_stamps,
    with_light_curve,
)
from fulgor.models.dataset import UNLABELLED
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.rulers import METADATA

__all__ = ["TRANSIENTS", "as_real_bogus", "as_transients", "baselines", "clusterings", "real_bogus", "transients"]

REAL_BOGUS: Final = ("real", "bogus")

TRANSIENTS: Final = ("AGN", "SN", "VS")
"""Classes of the Temporal Stamp Classifier."""


def baselines(budget: Budget, simulated: AlertSet | None = None, kept: Path | None = None) -> tuple[Baseline, ...]:
    """Return the baselines of all classes, in the order of the tables.

    Parameters
    ----------
    budget : Budget
        Of each.
    simulated, kept : AlertSet, Path, optional
        As for :class:`fulgor.models.baselines.method.Baseline`.
    """
    note, stamps = _note(simulated), AlerceStamps()
    alerce, pictures = beside_metadata(stamps), ImageSequences(stamps, imaged=True)

    def cyclic(classes: int) -> deep_hits.DeepHits:
        return deep_hits.DeepHits(len(METADATA), classes)

    def plain(classes: int) -> deep_hits.DeepHits:
        return deep_hits.DeepHits(len(METADATA), classes, cyclic=False)

    made = partial(Baseline, budget=budget, simulated=simulated, kept=kept)
    return (
        made(f"ALeRCE's net{note}", cyclic, alerce, objective=classified(0.5)),
        made(f"plain CNN, rotated{note}", plain, alerce, augment=turned),
        made(
            f"autoencoder + GRU{note}", AutoencoderGru, with_light_curve,
            objective=rebuilt_and_classified, augment=flipped,
        ),
        made(f"conv + LSTM{note}", ConvLstm, pictures, augment=over_time(flipped)),
    )  # fmt: skip


def transients(budget: Budget, simulated: AlertSet | None = None, kept: Path | None = None) -> tuple[Baseline, ...]:
    """Return the baselines for alerts relabelled by :func:`as_transients`; parameters as for :func:`baselines`."""

    def temporal(classes: int) -> TemporalStamps:
        return TemporalStamps(len(METADATA), classes)

    views = ImageSequences(AlerceStamps(), imaged=False)
    told = None if simulated is None else as_transients(simulated)
    name = f"Temporal Stamp Classifier's net{_note(simulated)}"
    return (Baseline(name, temporal, views, budget, augment=over_time(turned), simulated=told, kept=kept),)


def real_bogus(budget: Budget, simulated: AlertSet | None = None, kept: Path | None = None) -> tuple[Baseline, ...]:
    """Return the baselines for alerts relabelled by :func:`as_real_bogus`; parameters as for :func:`baselines`."""
    told = None if simulated is None else as_real_bogus(simulated)
    name = f"braai's net{_note(simulated)}"
    views = beside_metadata(whole_stamps)
    return (Baseline(name, lambda _: braai.Vgg6(), views, budget, augment=flipped, simulated=told, kept=kept),)


def clusterings(budget: Budget) -> tuple[Clustering, ...]:
    """Return what finds clusters without labels: VaDE, and the mixture of Gaussians that it starts from."""
    stamps = AlerceStamps()
    return Clustering("VaDE", stamps, budget), Clustering("autoencoder + mixture", stamps, budget, embedded=False)


def as_real_bogus(alerts: AlertSet) -> AlertSet:
    """Return the alerts with two classes, real and bogus; unlabelled ones stay so."""
    bogus = alerts.dataset.classes.index("bogus")
    labels = np.where(alerts.labels == UNLABELLED, UNLABELLED, (alerts.labels == bogus).astype(np.int64))
    return replace(alerts, dataset=replace(alerts.dataset, labels=labels, classes=REAL_BOGUS))


def as_transients(alerts: AlertSet) -> AlertSet:
    """Return the alerts with the classes :data:`TRANSIENTS`, of two detections or more; others lose their label."""
    number = {alerts.dataset.classes.index(name): place for place, name in enumerate(TRANSIENTS)}
    long = alerts.detections > 1
    labels = [
        number.get(one, UNLABELLED) if ok else UNLABELLED for one, ok in zip(alerts.labels.tolist(), long, strict=True)
    ]
    return replace(alerts, dataset=replace(alerts.dataset, labels=np.array(labels, dtype=np.int64), classes=TRANSIENTS))


def _note(simulated: AlertSet | None) -> str:
    return "" if simulated is None else ", pre-trained on simulated"

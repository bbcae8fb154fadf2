"""The stamp decoder learns to draw real stamps; the encoder stays, so that no latent changes.

A decoder that has seen simulated stamps alone rebuilds real ones less well, and its error is an anomaly
score. No label is needed, so all real stamps that a tuning has can teach it. Some objects are held out:
they tell when to stop, and whether the decoder got better at all; otherwise it stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fulgor.models.batches import Index, batches
from fulgor.models.dataset import Dataset
from fulgor.models.decoders import StampDecoder
from fulgor.models.encoder import central_crop
from fulgor.models.layout import INPUTS
from fulgor.models.passes import descend, rate_at, run_passes
from fulgor.models.ztf import ZtfNetwork

__all__ = ["Redrawing", "RedrawingConfig", "redraw", "stamp_errors"]


@dataclass(frozen=True, slots=True)
class RedrawingConfig:
    """How a stamp decoder is tuned.

    Parameters
    ----------
    epochs, patience : int
        At most this many passes (0: none); stop after so many without a better error of the held-out objects.
    batch : int
        Alerts per step.
    rate, decay : float
        Peak learning rate and weight decay of AdamW.
    held : float
        Share of the objects that is held out.
    seed : int
        Of all draws.
    """

    epochs: int = 40
    patience: int = 8
    batch: int = 64
    rate: float = 6e-3
    decay: float = 1e-3
    held: float = 0.15
    seed: int = 0


class Redrawing(NamedTuple):
    """Mean error over the held-out objects before the tuning and after it, and the number of passes."""

    before: float
    after: float
    passes: int


class _Drawings(NamedTuple):
    """Alerts as the decoder meets them: stamp latents (N, latent); stamps and masks (N, 3, view, view)."""

    latents: Tensor
    stamps: Tensor
    masks: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, network: ZtfNetwork, dataset: Dataset, index: Index) -> _Drawings:
        view = network.stamp_decoder.view
        rows = [
            (network.encoder(one.stamps, one.masks), central_crop(one.stamps, view), central_crop(one.masks, view))
            for one in batches(dataset, index, 256)
        ]
        return cls(*(torch.cat(column) for column in zip(*rows, strict=True)))

    def errors(self, decoder: StampDecoder, chosen: Tensor) -> Tensor:
        """Return the error of some alerts in the orientation that fits best, (n,); 0 where there are no pixels."""
        errors, pixels = decoder.errors(self.latents[chosen], self.stamps[chosen], self.masks[chosen])
        return errors.amin(1) * (pixels > 0)

    @torch.no_grad()
    def all_errors(self, decoder: StampDecoder) -> Tensor:
        """Return the error of all alerts, (N,)."""
        return torch.cat([self.errors(decoder, part) for part in torch.split(torch.arange(len(self.latents)), 256)])


def stamp_errors(network: ZtfNetwork, dataset: Dataset, index: Index) -> Tensor:
    """Return the error of some alerts' rebuilt stamps in the orientation that fits best, (N,).

    Parameters
    ----------
    network : ZtfNetwork
        Encoder and stamp decoder are used.
    dataset, index
        The alerts, at least one.
    """
    return _Drawings.of(network, dataset, index).all_errors(network.stamp_decoder)


def redraw(network: ZtfNetwork, parts: Sequence[Dataset], config: RedrawingConfig) -> Redrawing:
    """Tune the stamp decoder of a network, in place, on the stamps of some alerts.

    Parameters
    ----------
    network : ZtfNetwork
        All but its stamp decoder stays.
    parts : sequence of Dataset
        The alerts; labels are not looked at.
    config : RedrawingConfig
        How.

    Returns
    -------
    Redrawing
        What the held-out objects tell; no number where there are too few objects to hold some out.

    Raises
    ------
    ModelError
        No pass had a finite error.
    """
    dataset = _joined(parts)
    split = dataset.split({"train": 1.0 - config.held, "held": config.held}, config.seed)
    if not config.epochs or not len(split["train"]) or not len(split["held"]):
        return Redrawing(float("nan"), float("nan"), 0)
    train, held = (_Drawings.of(network, dataset, split[name]) for name in ("train", "held"))
    decoder = network.stamp_decoder.requires_grad_(True)
    known = {name: value.clone() for name, value in decoder.state_dict().items()}
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=config.rate, weight_decay=config.decay)

    def once(number: int) -> tuple[float, float]:
        order = torch.from_numpy(np.random.default_rng([config.seed, number]).permutation(len(train.latents)))
        steps, loss = torch.split(order, config.batch), 0.0
        for step, chosen in enumerate(steps):
            rate = config.rate * rate_at((number - 1 + step / len(steps)) / config.epochs)
            loss += descend(decoder, optimiser, rate, train.errors(decoder, chosen).mean()) / len(steps)
        return loss, float(held.all_errors(decoder).mean())

    before = float(held.all_errors(decoder).mean())
    found = run_passes(decoder, optimiser, once, config, lambda _: None)
    after = float(found["validation_loss"])
    if after >= before:
        decoder.load_state_dict(known)
    decoder.requires_grad_(False)
    return Redrawing(before, min(before, after), int(found["epochs_run"]))


def _joined(parts: Sequence[Dataset]) -> Dataset:
    """Return the alerts of all parts; their labels are not known to be of the same classes, and not used."""
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in INPUTS}
    labels, objects = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "objects"))
    return Dataset(arrays, labels, objects, parts[0].classes)

"""From a model of simulated alerts to one of real alerts, with a few hundred labels.

The encoder stays as it is: a few hundred stamps cannot teach it, and its latents can then be computed
once, for the alerts as they are and for turned, shifted and damaged views of them, and also for the earlier
alerts that a model of stored history looks back on. What is tuned, from
the beginning, is the part that joins stamps, light curve and metadata, and the classifier: on real alerts
drawn class by class, with simulated ones among them as a reminder. Nothing here chooses anything by the
alerts it is tested on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.augmentation import Augmentation, corrupt, corrupt_history, turn
from fulgor.models.batches import Batch, Index, batches
from fulgor.models.dataset import UNLABELLED, Dataset
from fulgor.models.objective import class_loss, sequence_loss
from fulgor.models.stamphistory import StampHistory
from fulgor.models.ztf import ZtfNetwork

__all__ = ["LOOKING_BACK", "TuningConfig", "Views", "remembering", "tune", "views"]

CLIP = 5.0
"""Largest norm of a gradient."""

AVERAGED_FROM = 0.6
"""The tuned weights are the mean over the steps after this part of them."""

STAMP_SHARE = 2.0
"""Stamp latents enter at a spread of 1 / this, so that they do not outshout metadata and light curve."""

ENCODER = ("encoder.", "stamp_decoder.")
"""What is not tuned."""


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """How a model is tuned.

    Parameters
    ----------
    steps, batch : int
        Number of steps, and real alerts in each.
    rehearsed : int
        Simulated alerts in each step.
    reminder : float
        Weight of a simulated alert against that of a real one.
    rate, decay : float
        Peak learning rate and weight decay of AdamW.
    count : int
        Views of each real alert's stamps, beside the stamps as they are.
    entropy, sequence : float
        As in :class:`fulgor.models.objective.Weights`.
    seed : int
        Of all draws.
    augmentation : Augmentation
        What is done to an alert.
    """

    steps: int = 300
    batch: int = 64
    rehearsed: int = 32
    reminder: float = 0.3
    rate: float = 3e-3
    decay: float = 0.02
    count: int = 8
    entropy: float = 0.1
    sequence: float = 0.05
    seed: int = 0
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(turned=1.0, forgotten=0.1))


LOOKING_BACK = TuningConfig(steps=1000)
"""How everything behind the encoder learns to look back, where an archive holds thousands of alerts."""


class Views(NamedTuple):
    """Alerts without their pixels.

    Parameters
    ----------
    latents : Tensor
        Stamp latents (N, 1 + count, latent), the first of the stamps as they are.
    batch : Batch
        All else.
    history : StampHistory or None
        What the alerts look back on, for a model of stored history.
    """

    latents: Tensor
    batch: Batch
    history: StampHistory | None = None

    def part(self, chosen: Tensor) -> Views:
        """Return some of the alerts."""
        history = self.history and self.history.part(chosen)
        return Views(self.latents[chosen], Batch(*(part[chosen] for part in self.batch)), history)

    def joined(self, other: Views) -> Views:
        """Return the alerts of both."""
        both = zip(self.batch, other.batch, strict=True)
        history = self.history.joined(other.history) if self.history and other.history else None
        return Views(torch.cat([self.latents, other.latents]), Batch(*(torch.cat(pair) for pair in both)), history)

    def unlabelled(self) -> Views:
        """Return the same alerts as if no label were known."""
        return self._replace(batch=self.batch._replace(labels=torch.full_like(self.batch.labels, UNLABELLED)))

    def drawn(self, chosen: Tensor, random: torch.Generator) -> tuple[Tensor, Batch]:
        """Return some alerts, each in one of its views."""
        view = torch.randint(0, self.latents.shape[1], (len(chosen),), generator=random)
        return self.latents[chosen, view], Batch(*(part[chosen] for part in self.batch))


@torch.no_grad()
def views(
    network: ZtfNetwork, dataset: Dataset, index: Index, how: Augmentation, count: int, seed: int, *,
    history: bool = False,
) -> Views:  # fmt: skip
    """Return the stamp latents of some alerts and of ``count`` turned and damaged views of each.

    Parameters
    ----------
    network : ZtfNetwork
        Its encoder is used.
    dataset, index
        The alerts.
    how : Augmentation
        What makes a view.
    count, seed : int
        Number of views, and the seed of their draws.
    history : bool
        Whether the alerts are to look back on earlier ones of the data set.
    """
    random = torch.Generator().manual_seed(seed)
    latents: list[Tensor] = []
    rest: list[Batch] = []
    for batch in batches(dataset, index, 128):
        cropped = network.cropped(batch)
        seen = [cropped, *(corrupt(turn(cropped, how, random), how, random)[0] for _ in range(count))]
        latents.append(torch.stack([network.encoder(view.stamps, view.masks) for view in seen], dim=1))
        rest.append(batch._replace(stamps=batch.stamps[:, :, :0, :0], masks=batch.masks[:, :, :0, :0]))
    known = StampHistory.of(network, dataset, index) if history else None
    return Views(torch.cat(latents), Batch(*(torch.cat(parts) for parts in zip(*rest, strict=True))), known)


def tune(base: ZtfNetwork, real: Views, rehearsal: Views | None, config: TuningConfig) -> ZtfNetwork:
    """Return a network that was tuned on labelled real alerts; one of stored history where those know theirs.

    Parameters
    ----------
    base : ZtfNetwork
        Where it starts; not changed.
    real : Views
        Real alerts; the unlabelled ones only tell how features are spread.
    rehearsal : Views, optional
        Simulated alerts.
    config : TuningConfig
        How.

    Raises
    ------
    ModelError
        No real alert is labelled.
    """
    labelled = torch.nonzero(real.batch.labels != UNLABELLED).squeeze(1)
    centre, scale = real.latents[:, 0].mean(0), STAMP_SHARE * real.latents[:, 0].std(0).clamp(min=1e-3)
    if not len(labelled):
        raise ModelError("there is no labelled real alert to tune the model on; give their labels with --labels")
    torch.manual_seed(config.seed)
    network = _started(base, real)
    tuned = {name: part for name, part in network.named_parameters() if not name.startswith(ENCODER)}
    optimiser = torch.optim.AdamW(tuned.values(), lr=config.rate, weight_decay=config.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.rate, config.steps, pct_start=0.1)
    sampler = _Sampler(_even(real, centre, scale), rehearsal and _even(rehearsal, centre, scale), labelled, config)
    mean, averaged = {name: torch.zeros_like(part) for name, part in tuned.items()}, 0
    network.train()
    for step in range(config.steps):
        loss = sampler.loss(network)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(tuned.values(), CLIP)
        optimiser.step()
        schedule.step()
        if step >= AVERAGED_FROM * config.steps:
            averaged += 1
            for name, part in tuned.items():
                mean[name] += (part.detach() - mean[name]) / averaged
    network.load_state_dict({**network.state_dict(), **mean})
    _fold(network, centre, scale)
    return network.eval().requires_grad_(False)


def remembering(base: ZtfNetwork, dataset: Dataset, train: Index, config: TuningConfig) -> ZtfNetwork:
    """Return a network of stored history: the base's encoder, all behind it trained anew with earlier stamp latents.

    Parameters
    ----------
    base : ZtfNetwork
        Trained; not changed.
    dataset : Dataset
        Alerts that know the times of their steps; any of them may be looked back on, so objects must not be parted.
    train : ndarray
        Indices of the alerts to train on.
    config : TuningConfig
        How; nothing is rehearsed.

    Raises
    ------
    ModelError
        None of these alerts has a label, or none has an earlier alert of its object in the data set.
    """
    known = views(base, dataset, train, config.augmentation, config.count, config.seed, history=True)
    if known.history is None or not len(known.history.pool):
        raise ModelError(
            "no alert of the training part has an earlier alert of its object in the data set: there is no history to "
            "learn from; take an archive of more nights, or train without --history-stamps"
        )
    return tune(base, known, None, config)


def _started(base: ZtfNetwork, real: Views) -> ZtfNetwork:
    """Return a network with the base's encoder, and features by their rank among real alerts; all else is new."""
    network = ZtfNetwork(replace(base.architecture, history_stamps=real.history is not None))
    kept = {name: value for name, value in base.state_dict().items() if name.startswith(ENCODER)}
    network.load_state_dict({**network.state_dict(), **kept})
    network.metadata.fit(real.batch.features)
    return network


def _even(alerts: Views, centre: Tensor, scale: Tensor) -> Views:
    """Return alerts whose stamp latents are in units of their spread over the real ones."""
    history = alerts.history and alerts.history._replace(pool=(alerts.history.pool - centre) / scale)
    return alerts._replace(latents=(alerts.latents - centre) / scale, history=history)


@torch.no_grad()
def _fold(network: ZtfNetwork, centre: Tensor, scale: Tensor) -> None:
    """Change, in place, a network that was trained on evened stamp latents to one that takes them as they are."""
    if "stamps" not in network.architecture.sees:
        return
    length = len(centre)
    for layer in (network.recurrence.read, network.join[0]):
        assert isinstance(layer, nn.Linear)  # noqa: S101 - both read the stamp latent last
        layer.weight[:, -length:] /= scale
        layer.bias.sub_(layer.weight[:, -length:] @ centre)
    network.recurrence.absent.mul_(scale).add_(centre)


class _Sampler:
    """Draws the alerts of each step: real ones class by class, simulated ones beside them."""

    def __init__(self, real: Views, rehearsal: Views | None, labelled: Tensor, config: TuningConfig) -> None:
        self.real, self.rehearsal, self.labelled, self.config = real, rehearsal, labelled, config
        self.random = torch.Generator().manual_seed(config.seed)
        self.weights = _evened(real.batch.labels[labelled])
        if rehearsal is not None:
            self.rehearsed = torch.nonzero(rehearsal.batch.labels != UNLABELLED).squeeze(1)
            self.rehearsal_weights = _evened(rehearsal.batch.labels[self.rehearsed])

    def loss(self, network: ZtfNetwork) -> Tensor:
        """Return the loss of the next step."""
        drawn = self.labelled[torch.multinomial(self.weights, self.config.batch, True, generator=self.random)]
        loss = self._part(network, self.real, drawn)
        if self.rehearsal is not None and self.config.rehearsed:
            count = self.config.rehearsed
            drawn = self.rehearsed[torch.multinomial(self.rehearsal_weights, count, True, generator=self.random)]
            loss = loss + self.config.reminder * self._part(network, self.rehearsal, drawn)
        return loss

    def _part(self, network: ZtfNetwork, alerts: Views, chosen: Tensor) -> Tensor:
        config = self.config
        stamp, batch = alerts.drawn(chosen, self.random)
        seen = corrupt_history(batch, config.augmentation, self.random)
        slots = self._slots(alerts.history, chosen, seen.sequence_mask) if alerts.history else ()
        latent = network.combined(stamp, seen.sequence, seen.sequence_mask, seen.features, *slots)
        even = torch.ones(len(network.architecture.classes))
        classes = class_loss(network.classifier(latent), batch.labels, even, config.entropy)
        return classes + config.sequence * sequence_loss(network, latent, batch, seen.hidden)

    def _slots(self, history: StampHistory, chosen: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slots of some alerts; each knows a part of its history, from nothing to all, drawn evenly."""
        latents, known = history.slots(chosen)
        share = torch.rand((len(chosen), 1), generator=self.random)
        kept = (torch.rand(known.shape, generator=self.random) < share).float()
        return latents, known * kept * steps[:, :-1]


def _evened(labels: Tensor) -> Tensor:
    """Return the chance of each alert to be drawn, so that all classes are drawn alike."""
    return 1.0 / torch.bincount(labels)[labels].float()

"""Training of the LEELA network: reconstruction, classes, and a pulse seen twice at one place in latent space.

Flashes, not chunks, are divided: the sites that see one stroke are all in one part. ``train`` fits the
weights, ``validation`` picks the pass and sets the temperature, ``reference`` gives the scores their
percentiles, ``test`` is only measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fulgor.errors import ModelError
from fulgor.models.calibration import best_temperature, class_balance
from fulgor.models.evaluation.metrics import summary
from fulgor.models.leela.dataset import PARTS, UNLABELLED, Index, LeelaDataset
from fulgor.models.leela.layout import COMBINED, LOG_SNR, OUTPUTS, SCORES
from fulgor.models.leela.network import Architecture, LeelaNetwork, flank_noise
from fulgor.models.leela.views import contrast, second_view
from fulgor.models.passes import Epoch, descend, rate_at, run_passes
from fulgor.models.reference import Reference

__all__ = ["LeelaConfig", "TrainedLeela", "infer", "strangest", "train"]


@dataclass(frozen=True, slots=True)
class LeelaConfig:
    """Everything a training depends on beside its data.

    Parameters
    ----------
    width, hidden : int
        See `Architecture`.
    epochs, patience : int
        At most this many passes; stop after so many without a better validation loss.
    batch : int
        Chunks per step.
    rate, decay : float
        Peak learning rate and weight decay of AdamW.
    reconstruction, contrast, entropy : float
        Weights beside the classifier's loss.
    sharpness : float
        Temperature of the contrastive term.
    seed : int
        Of split, weights and draws.
    """

    width: int = 12
    hidden: int = 40
    epochs: int = 14
    patience: int = 5
    batch: int = 128
    rate: float = 3e-3
    decay: float = 1e-4
    reconstruction: float = 0.5
    contrast: float = 0.15
    entropy: float = 0.05
    sharpness: float = 0.2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainedLeela:
    """A network with all that its card will say of it: reference, figures, division of the data, training."""

    network: LeelaNetwork
    reference: Reference
    metrics: dict[str, Any]
    split: dict[str, Any]
    training: dict[str, Any]


def train(
    dataset: LeelaDataset, config: LeelaConfig | None = None, progress: Callable[[Epoch], None] | None = None, *,
    device: str = "cpu",
) -> TrainedLeela:  # fmt: skip
    """Train the LEELA network.

    Parameters
    ----------
    dataset : LeelaDataset
        Prepared chunks.
    config : LeelaConfig, optional
        Sizes and schedule.
    progress : callable, optional
        Called after every pass.
    device : str
        ``cpu`` or ``cuda``, for the passes; all draws are the CPU's.

    Returns
    -------
    TrainedLeela
        The weights of the pass with the least validation loss, on the CPU.

    Raises
    ------
    ModelError
        A part of the split is empty, no chunk in it is labelled, or the training diverged.
    """
    config = config or LeelaConfig()
    parts = dataset.split(config.seed)
    empty = [name for name in PARTS if not (dataset.labels[parts[name]] != UNLABELLED).any()]
    if empty:
        raise ModelError(f"{len(dataset)} chunks leave no labelled one for {', '.join(empty)}; take a larger archive")
    torch.manual_seed(config.seed)
    network = LeelaNetwork(Architecture(config.width, config.hidden, classes=dataset.classes))
    _standardise(network, dataset, parts["train"])
    history = _fit(network.to(device), dataset, parts, config, progress or (lambda _: None))
    network.cpu().eval().requires_grad_(False)
    _calibrate(network, dataset, parts)
    strange = strangest(infer(network, dataset, parts["reference"]))
    reference = Reference.fit(strange["scores"], SCORES, combined=COMBINED)
    found = strangest(infer(network, dataset, parts["test"]), reference)
    figures = summary(dataset.labels[parts["test"]], found["probabilities"], dataset.classes)
    split = {"by": "flash", "seed": config.seed, "parts": {name: dataset.counts(parts[name]) for name in PARTS}}
    return TrainedLeela(network, reference, figures, split, {**asdict(config), **history})


@torch.no_grad()
def infer(
    network: LeelaNetwork, dataset: LeelaDataset, index: Index, size: int = 512
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of all pulses of some chunks, (N, 8, ...) by the names in `OUTPUTS`; NaN for absent pulses."""
    rows = []
    for start in range(0, len(index), size):
        windows, scalars, place = map(torch.from_numpy, dataset.take(index[start : start + size]))
        absent = (place < 0).unsqueeze(2)
        rows.append([part.masked_fill(absent, math.nan).numpy() for part in network(windows, scalars, place)])
    return {name: np.concatenate(column) for name, column in zip(OUTPUTS, zip(*rows, strict=True), strict=True)}


def strangest(
    outputs: dict[str, NDArray[np.float32]], reference: Reference | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of each chunk's strangest pulse, (N, ...).

    Without a reference, which is what the percentiles are made of, the strangest is the one that is
    rebuilt worst.
    """
    scores = outputs["scores"]
    count, pulses = scores.shape[:2]
    if reference is None:
        strange = scores[..., 0]
    else:
        strange = reference.anomaly(scores.reshape(count * pulses, -1)).reshape(count, pulses)
    chosen = np.nanargmax(strange, axis=1)
    return {name: values[np.arange(count), chosen] for name, values in outputs.items()}


def _standardise(network: LeelaNetwork, dataset: LeelaDataset, index: Index) -> None:
    known = dataset.scalars[index][dataset.place[index] >= 0].astype(np.float64)
    spread = known.std(axis=0)
    network.scalar_mean.copy_(torch.from_numpy(known.mean(axis=0)))
    network.scalar_std.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1.0)))


def _fit(
    network: LeelaNetwork, dataset: LeelaDataset, parts: dict[str, Index], config: LeelaConfig,
    progress: Callable[[Epoch], None],
) -> dict[str, Any]:  # fmt: skip
    """Run the passes, and leave the best weights in the network."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
    balance = class_balance(dataset, parts["train"]).to(next(network.parameters()).device)
    order = np.random.default_rng(config.seed)

    def once(number: int) -> tuple[float, float]:
        random = torch.Generator().manual_seed(config.seed * 100_003 + number)
        shuffled = order.permutation(parts["train"])
        network.train()
        loss, steps = 0.0, math.ceil(len(shuffled) / config.batch)
        for step, batch in enumerate(_batches(dataset, shuffled, config.batch)):
            rate = config.rate * rate_at((number - 1 + step / steps) / config.epochs)
            loss += descend(network, optimiser, rate, _objective(network, batch, balance, config, random)) / steps
        network.eval()
        return loss, _validate(network, dataset, parts["validation"], balance, config)

    return run_passes(network, optimiser, once, config, progress)


_Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def _batches(dataset: LeelaDataset, index: Index, size: int) -> Iterator[_Batch]:
    for start in range(0, len(index), size):
        chosen = index[start : start + size]
        windows, scalars, place = map(torch.from_numpy, dataset.take(chosen))
        yield windows, scalars, place, torch.from_numpy(dataset.labels[chosen])


def _objective(
    network: LeelaNetwork, batch: _Batch, balance: Tensor, config: LeelaConfig, random: torch.Generator
) -> Tensor:
    device = balance.device
    other = second_view(batch[0], batch[1][batch[2] >= 0][:, LOG_SNR], random).to(device)
    windows, scalars, place, labels = (part.to(device) for part in batch)
    codes = network.encode(windows)
    rebuilt = torch.log1p(network.misfit(codes, windows, flank_noise(windows))).mean()
    apart = contrast(codes, network.encode(other), config.sharpness)
    logits = network.logits(network.relate(codes, scalars, place))[place >= 0]
    truth = labels.unsqueeze(1).expand_as(place)[place >= 0]
    known = truth != UNLABELLED
    classes = F.cross_entropy(logits[known], truth[known], weight=balance) if bool(known.any()) else logits.sum() * 0
    spread = -(torch.softmax(logits, 1) * torch.log_softmax(logits, 1)).sum(1).mean()
    return classes + config.reconstruction * rebuilt + config.contrast * apart - config.entropy * spread


@torch.no_grad()
def _validate(
    network: LeelaNetwork, dataset: LeelaDataset, index: Index, balance: Tensor, config: LeelaConfig
) -> float:
    """Return the mean validation loss, with the same second views after every pass."""
    random = torch.Generator().manual_seed(config.seed)
    losses = [
        float(_objective(network, batch, balance, config, random)) * len(batch[3])
        for batch in _batches(dataset, index, config.batch)
    ]
    return sum(losses) / len(index)


def _calibrate(network: LeelaNetwork, dataset: LeelaDataset, parts: dict[str, Index]) -> None:
    """Set the class centres on the training part and the temperature on the validation part."""
    latents, labels = _known_pulses(network, dataset, parts["train"])
    network.distance.fit(latents, labels)
    latents, labels = _known_pulses(network, dataset, parts["validation"])
    balance = class_balance(dataset, parts["validation"])
    network.temperature.fill_(best_temperature(network.logits(latents), labels, balance))


def _known_pulses(network: LeelaNetwork, dataset: LeelaDataset, index: Index) -> tuple[Tensor, Tensor]:
    """Return latents and labels of all pulses of labelled chunks."""
    known = index[dataset.labels[index] != UNLABELLED]
    present = dataset.place[known] >= 0
    latents = infer(network, dataset, known)["latent"][present]
    labels = np.broadcast_to(dataset.labels[known][:, None], present.shape)[present]
    return torch.from_numpy(latents), torch.from_numpy(labels.copy())

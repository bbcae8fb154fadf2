"""The ZTF network: encoder, recurrence, decoders, classifier and scores in one graph."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fulgor.errors import ModelError
from fulgor.models.batches import Batch
from fulgor.models.decoders import SequenceDecoder, StampDecoder
from fulgor.models.encoder import StampEncoder, central_crop
from fulgor.models.images import STAMPS
from fulgor.models.layout import CLASSES, COLUMNS, HISTORY_INPUTS, INPUTS
from fulgor.models.metadata import MetadataEncoder
from fulgor.models.recurrent import DecayGRU
from fulgor.models.scores.distance import ClassDistance, defined
from fulgor.models.statespace import DiagonalSSM
from fulgor.models.symmetry import expand

__all__ = ["CELLS", "SIGHTS", "Architecture", "Latents", "Outputs", "ZtfNetwork"]

CELLS = {"decay-gru": DecayGRU, "diagonal-ssm": DiagonalSSM}
"""What the recurrent part can be."""

SIGHTS = ("curve", "metadata", "stamps")
"""What the object latent can be made of, in the order in which it is joined."""

AXES = ("history_stamps", "images", "sees", "coarse", "cell")
"""Fields that came after the first models: a card names them only where they differ from those models."""

FEATURE_CODE = 32
"""Length of the metadata's embedding."""

JOINED = 96
"""Width of the layer that joins recurrent state, metadata and stamps."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that fixes the shape of the weights.

    Parameters
    ----------
    features : int
        Number of metadata features.
    size : int
        Stamp size inside the network: 63, 31 or 21 px.
    width : int
        Fields of the first group convolution.
    latent : int
        Length of both latents.
    hidden : int
        Length of the recurrent state.
    steps : int
        Steps of the sequence, the alert's own included.
    classes : tuple of str
        Names of the classes.
    ignored : tuple of int
        Metadata features that the network must not see.
    dropout : float
        Share of the metadata's encoding and of the joined layer that is dropped in training.
    history_stamps : bool
        Whether the steps before the alert may carry the stamp latents of earlier alerts.
    images : tuple of str
        What the encoder is shown of the stamps, see :data:`fulgor.models.images.IMAGES`.
    sees : tuple of str
        What the object latent is made of, some of :data:`SIGHTS`.
    coarse : int
        Side of the field that is shown beside the stamps on a coarser scale, pixels; 0 for none.
    cell : str
        The recurrent part, one of :data:`CELLS`.

    Raises
    ------
    ModelError
        There is no such network.
    """

    features: int
    size: int = 31
    width: int = 4
    latent: int = 64
    hidden: int = 64
    steps: int = 32
    classes: tuple[str, ...] = CLASSES
    ignored: tuple[int, ...] = ()
    dropout: float = 0.2
    history_stamps: bool = False
    images: tuple[str, ...] = STAMPS
    sees: tuple[str, ...] = SIGHTS
    coarse: int = 0
    cell: str = "decay-gru"

    def __post_init__(self) -> None:
        if not self.sees or self.sees != tuple(name for name in SIGHTS if name in self.sees):
            raise ModelError(
                f"no network sees {', '.join(map(str, self.sees)) or 'nothing'}; choose among {', '.join(SIGHTS)}, in "
                "this order"
            )
        if self.history_stamps and not {"curve", "stamps"} <= set(self.sees):
            raise ModelError("stored stamps are of use to a network only that sees curve and stamps")
        if self.cell not in CELLS:
            raise ModelError(f"there is no recurrent cell {self.cell!r}; choose one of {', '.join(CELLS)}")

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Architecture:
        """Return the architecture that a card describes.

        Raises
        ------
        ModelError
            A field is missing, unknown or of the wrong kind.
        """
        try:
            lists = {"classes", "ignored"} | {"images", "sees"} & card.keys()
            return cls(**{**card, **{name: tuple(card[name]) for name in lists}})
        except (KeyError, TypeError) as error:
            raise ModelError(f"the card's architecture cannot be read ({error}); export the model again") from error

    def to_card(self) -> dict[str, Any]:
        """Return the same as JSON values; a card of the first network says nothing of later fields."""
        default = {field.name: field.default for field in fields(self)}
        told = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: told[name] for name in told if name not in AXES or getattr(self, name) != default[name]}


class Latents(NamedTuple):
    """Both latents of a batch: ``stamp`` (N, latent) and ``object`` (N, latent)."""

    stamp: Tensor
    object: Tensor


class Outputs(NamedTuple):
    """What the served graph returns, float32; see :data:`fulgor.models.layout.OUTPUTS`."""

    latent: Tensor
    stamp_latent: Tensor
    probabilities: Tensor
    scores: Tensor


class ZtfNetwork(nn.Module):
    """Convolutional, recurrent autoencoder and classifier, invariant under D4 of the stamps.

    Parameters
    ----------
    architecture : Architecture
        Sizes.
    """

    temperature: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.encoder = StampEncoder(a.size, a.width, a.latent, a.images, a.coarse)
        self.recurrence = CELLS[a.cell](COLUMNS, a.latent, a.hidden)
        self.metadata = MetadataEncoder(a.features, FEATURE_CODE, a.ignored, a.dropout)
        lengths = {"curve": a.hidden, "metadata": FEATURE_CODE, "stamps": a.latent}
        joined = sum(lengths[name] for name in a.sees)
        self.join = nn.Sequential(
            nn.Linear(joined, JOINED), nn.SiLU(), nn.Dropout(a.dropout), nn.Linear(JOINED, a.latent)
        )
        self.classifier = nn.Linear(a.latent, len(a.classes))
        self.stamp_decoder = StampDecoder(a.latent, a.size, images=a.images)
        self.sequence_decoder = SequenceDecoder(a.latent)
        self.distance = ClassDistance(a.latent, len(a.classes))
        self.register_buffer("temperature", torch.ones(()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all that the served graph takes, in the order of the arguments of `forward`."""
        return INPUTS + HISTORY_INPUTS if self.architecture.history_stamps else INPUTS

    def cropped(self, batch: Batch) -> Batch:
        """Return a batch whose stamps hold no more than a turn by any angle can bring into view."""
        reach = max(self.architecture.size, self.architecture.coarse)
        size = min(int(batch.stamps.shape[-1]), math.ceil(reach * math.sqrt(2.0)) // 2 * 2 + 1)
        return batch._replace(stamps=central_crop(batch.stamps, size), masks=central_crop(batch.masks, size))

    def encode(
        self, stamps: Tensor, masks: Tensor, sequence: Tensor, sequence_mask: Tensor, features: Tensor,
        history: Tensor | None = None, history_mask: Tensor | None = None,
    ) -> Latents:  # fmt: skip
        """Return both latents of a batch; arguments as in :data:`fulgor.models.layout.INPUTS` and `HISTORY_INPUTS`."""
        stamp = self.encoder(stamps, masks)
        return Latents(stamp, self.combined(stamp, sequence, sequence_mask, features, history, history_mask))

    def combined(
        self, stamp: Tensor, sequence: Tensor, sequence_mask: Tensor, features: Tensor,
        history: Tensor | None = None, history_mask: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the object latent (N, latent) of stamp latents, light curves, metadata and earlier stamp latents."""
        sees = self.architecture.sees
        parts = {"stamps": stamp if "stamps" in sees else torch.zeros_like(stamp)}
        if "curve" in sees:
            slots = self.recurrence.slots(parts["stamps"], int(sequence.shape[1]), history, history_mask)
            parts["curve"] = self.recurrence(sequence, sequence_mask, slots)
        if "metadata" in sees:
            parts["metadata"] = self.metadata(features)
        joined: Tensor = self.join(torch.cat([parts[name] for name in sees], dim=1))
        return joined

    def scores(
        self, latents: Latents, stamps: Tensor, masks: Tensor, sequence: Tensor, sequence_mask: Tensor
    ) -> Tensor:
        """Return the anomaly scores (N, 3), NaN where one cannot be computed."""
        errors, pixels = self.stamp_decoder.errors(latents.stamp, stamps, masks)
        chi_square, points = self.sequence_decoder.chi_square(latents.object, sequence, sequence_mask)
        reconstruction = defined(errors.amin(1), pixels)
        return torch.stack([reconstruction, defined(chi_square, points), self.distance(latents.object)], dim=1)

    def forward(
        self, stamps: Tensor, masks: Tensor, sequence: Tensor, sequence_mask: Tensor, features: Tensor,
        history: Tensor | None = None, history_mask: Tensor | None = None,
    ) -> Outputs:  # fmt: skip
        """Return latents, calibrated probabilities and scores of a batch; arguments as those of `encode`."""
        latents = self.encode(stamps, masks, sequence, sequence_mask, features, history, history_mask)
        probabilities = torch.softmax(self.classifier(latents.object) / self.temperature, dim=1)
        scores = self.scores(latents, stamps, masks, sequence, sequence_mask)
        return Outputs(latents.object, latents.stamp, probabilities, scores)

    def expanded(self) -> ZtfNetwork:
        """Return a copy for inference whose group convolutions are plain convolutions."""
        copy = ZtfNetwork(self.architecture)
        copy.load_state_dict(self.state_dict())
        expand(copy)
        return copy.eval().requires_grad_(False)

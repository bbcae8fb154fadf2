"""What the baselines see of alerts, and how their pictures are turned in training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.folds import Index
from fulgor.models.evaluation.rulers import METADATA
from fulgor.models.layout import AHEAD, COLUMNS, DETECTION
from fulgor.preprocessing.ztf import ALERCE, prepare

__all__ = [
    "LONGEST",
    "AlerceStamps",
    "Augment",
    "ImageSequences",
    "Views",
    "beside_metadata",
    "flipped",
    "over_time",
    "turned",
    "whole_stamps",
    "with_light_curve",
]

LONGEST: Final = 5
"""Detections of a sequence of pictures, the alert's own included."""

SAME: Final = 1e-4
"""Days: detections nearer than this are one exposure (30 s); prepared times are good to a second."""

Floats = NDArray[np.float32]
Views = Callable[[AlertSet, Index], tuple[Floats, ...]]
Stamps = Callable[[AlertSet, Index], Floats]
Augment = Callable[[Tensor, torch.Generator], Tensor]


class AlerceStamps:
    """Stamps as ALeRCE prepares them, (n, 3, 21, 21): centre crop, each from 0 to 1; each alert's once."""

    def __init__(self) -> None:
        self._known: dict[int, Floats] = {}

    def __call__(self, alerts: AlertSet, index: Index) -> Floats:
        """Return the stamps of some alerts."""
        chosen = [alerts.alerts[n] for n in index.tolist()]
        for alert in chosen:
            if alert.candid not in self._known:
                self._known[alert.candid] = prepare(alert, ALERCE).arrays["stamps"]
        return np.stack([self._known[alert.candid] for alert in chosen])


def whole_stamps(alerts: AlertSet, index: Index) -> Floats:
    """Return the whole stamps as our own networks get them, (n, 3, 63, 63)."""
    return np.asarray(alerts.dataset.arrays["stamps"][index], dtype=np.float32)


def beside_metadata(stamps: Stamps) -> Views:
    """Return views of stamps, and the 23 features of ALeRCE's stamp classifier."""
    return lambda alerts, index: (stamps(alerts, index), _metadata(alerts, index))


def with_light_curve(alerts: AlertSet, index: Index) -> tuple[Floats, ...]:
    """Return whole stamps, the packet's light curve (n, 32, columns), and which of its steps there are (n, 32)."""
    steps, held = (np.asarray(alerts.dataset.arrays[name][index], np.float32) for name in ("sequence", "sequence_mask"))
    return whole_stamps(alerts, index), steps, held


class ImageSequences:
    """The last detections of an alert's object, oldest first, with their stamps where another alert brought them.

    A packet has the stamps of its own detection only. Those of an earlier detection are known if the set
    holds the alert of that detection, which must be named in the packet's own history: an alert sees
    nothing later than itself, and a truncated history hides the pictures with the detections.

    Parameters
    ----------
    stamps : callable
        Gives the stamps of single alerts.
    imaged : bool
        Whether to leave out detections without stamps.
    """

    def __init__(self, stamps: Stamps, *, imaged: bool) -> None:
        self._stamps, self._imaged = stamps, imaged

    def __call__(self, alerts: AlertSet, index: Index) -> tuple[Floats, ...]:
        """Return stamps, where there are any, the steps of the light curve, where there are any, and metadata.

        Returns
        -------
        tuple of ndarray
            float32 (n, 5, 3, 21, 21), (n, 5), (n, 5, columns), (n, 5) and (n, 23); sequences end with the
            alert and unused places, which are in front, hold zeros.
        """
        places = self.places(alerts, index)
        held, seen = places[..., 0] >= 0, places[..., 1] >= 0
        steps = np.zeros((*held.shape, COLUMNS), np.float32)
        rows = np.broadcast_to(index[:, None], held.shape)[held]
        steps[held] = alerts.dataset.arrays["sequence"][rows, places[held, 0]]
        images = np.zeros((*held.shape, *self._stamps(alerts, index[:1]).shape[1:]), np.float32)
        images[seen] = self._stamps(alerts, places[seen, 1])
        return images, seen.astype(np.float32), steps, held.astype(np.float32), _metadata(alerts, index)

    def places(self, alerts: AlertSet, index: Index) -> Index:
        """Return, int64 (n, 5, 2), the step of each detection and the alert that has its stamps; -1: none."""
        of = defaultdict(list)
        for number, alert in enumerate(alerts.alerts):
            of[alert.object_id].append(number)
        found = np.full((len(index), LONGEST, 2), -1, dtype=np.int64)
        for row, number in enumerate(index.tolist()):
            pairs = _detections(alerts, number, of[alerts.alerts[number].object_id])
            kept = [pair for pair in pairs if pair[1] >= 0 or not self._imaged][-LONGEST:]
            found[row, -len(kept) :] = kept
        return found


def _detections(alerts: AlertSet, number: int, same: list[int]) -> list[tuple[int, int]]:
    """Return step and alert (-1: none) of each detection in an alert's light curve, the alert's own last."""
    steps = np.asarray(alerts.dataset.arrays["sequence"][number])
    held = np.asarray(alerts.dataset.arrays["sequence_mask"][number], dtype=bool)
    jd = alerts.alerts[number].jd
    earlier = {one: jd - alerts.alerts[one].jd for one in same if alerts.alerts[one].jd < jd}
    *past, own = np.flatnonzero(held).tolist()
    pairs = []
    for step in past:
        if steps[step, DETECTION] > 0:
            ahead = float(np.expm1(steps[step, AHEAD]))
            pairs.append((step, next((one for one, days in earlier.items() if abs(days - ahead) < SAME), -1)))
    return [*pairs, (own, number)]


def _metadata(alerts: AlertSet, index: Index) -> Floats:
    return alerts.feature(METADATA, index).astype(np.float32)


def turned(stamps: Tensor, random: torch.Generator) -> Tensor:
    """Turn each stamp by an angle of its own, and mirror half of them."""
    angle = torch.rand(len(stamps), generator=random) * 2 * torch.pi
    flip = torch.where(torch.rand(len(stamps), generator=random) < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(angle)
    rows = [
        torch.stack([angle.cos() * flip, -angle.sin(), zero], 1),
        torch.stack([angle.sin() * flip, angle.cos(), zero], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(stamps.shape), align_corners=False)
    return F.grid_sample(stamps, grid, padding_mode="border", align_corners=False)


def flipped(stamps: Tensor, random: torch.Generator) -> Tensor:
    """Turn and mirror a batch into one of the eight orientations of the square."""
    turns, mirror = int(torch.randint(4, (), generator=random)), int(torch.randint(2, (), generator=random))
    quarter = torch.rot90(stamps, turns, (-2, -1))
    return quarter.flip(-1) if mirror else quarter


def over_time(augment: Augment) -> Augment:
    """Return what turns all pictures of a sequence (n, time, 3, size, size) in the same way."""
    return lambda images, random: augment(images.flatten(1, 2), random).reshape(images.shape)

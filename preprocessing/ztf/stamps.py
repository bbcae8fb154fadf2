"""The three stamps of an alert to a float32 array with its mask.

Order: place (edge cuts), crop, mask what has no value, take statistics from the valid pixels, scale,
set the masked pixels to exactly 0. Every statistic is an order statistic of the valid pixels, so it
does not depend on where they are: turning or mirroring the stamps turns or mirrors the result, bit
for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.fits import StampError, read_stamp
from fulgor.preprocessing.ztf.alerce import minmax_scaled
from fulgor.preprocessing.ztf.alert import ZtfAlert
from fulgor.preprocessing.ztf.flags import ZtfFlag
from fulgor.preprocessing.ztf.placement import Placement, placement_of
from fulgor.preprocessing.ztf.recipe import STAMP_SIZE, Recipe

__all__ = ["Level", "PreparedStamps", "prepare_stamps"]

NAMES = ("science", "template", "difference")
SCIENCE, TEMPLATE, DIFFERENCE = range(3)
MAX_SIGMAS = 1e7


@dataclass(frozen=True, slots=True)
class Level:
    """Sky level and noise of a stamp, in DN; both 0 where they cannot be had."""

    sky: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class PreparedStamps:
    """The stamps as the model takes them.

    Parameters
    ----------
    stamps : ndarray of float32, shape (3, size, size)
        Science, template, difference; scaled; invalid pixels exactly 0.
    masks : ndarray of float32, shape (3, size, size)
        1 where the pixel is valid, else 0.
    levels : tuple of Level
        Sky and noise of each.
    flags : ZtfFlag
        What is odd about the stamps.
    problems : tuple of str or None
        For each stamp why it is unusable; None where it is usable.
    """

    stamps: NDArray[np.float32]
    masks: NDArray[np.float32]
    levels: tuple[Level, Level, Level]
    flags: ZtfFlag
    problems: tuple[str | None, ...]


def _valid(pixels: NDArray[np.float32], max_pixel: float) -> NDArray[np.bool_]:
    """Tell which pixels hold a value; the comparison is false for NaN."""
    return np.abs(pixels) <= np.float32(max_pixel)


def _read(cutout: bytes | None, max_pixel: float) -> tuple[NDArray[np.float32] | None, ZtfFlag, str | None]:
    """Return pixels, flags and why there are no pixels."""
    if cutout is None:
        return None, ZtfFlag.MISSING_STAMP, "is missing"
    try:
        stamp = read_stamp(cutout)
    except StampError as error:
        flag = ZtfFlag.JPEG_STAMP if error.kind == "jpeg" else ZtfFlag.DAMAGED_STAMP
        return None, flag, f"cannot be read: {error.reason}"
    flags = ZtfFlag(0) if stamp.compressed else ZtfFlag.RAW_FITS
    if not _valid(stamp.pixels, max_pixel).all():
        flags |= ZtfFlag.NAN_PIXELS
    return stamp.pixels, flags, None


def _placed(
    images: Sequence[NDArray[np.float32] | None], alert: ZtfAlert, flags: ZtfFlag
) -> tuple[list[NDArray[np.float32] | None], ZtfFlag]:
    """Put each image into the whole frame; NaN fills what was cut off."""
    placements: dict[tuple[int, ...], Placement] = {}
    frames: list[NDArray[np.float32] | None] = [None] * len(images)
    xpos, ypos = alert.candidate.get("xpos"), alert.candidate.get("ypos")
    for channel in (DIFFERENCE, SCIENCE, TEMPLATE):  # a guess of the side is taken from the difference
        pixels = images[channel]
        if pixels is None:
            continue
        place = placements.get(pixels.shape)
        if place is None:
            place = placements[pixels.shape] = placement_of(pixels, xpos, ypos)
        frames[channel] = place.framed(pixels)
        flags |= place.flags
    return frames, flags | ZtfFlag.ODD_SHAPE if len(placements) > 1 else flags


def _level(values: NDArray[np.float32], quantile: float) -> Level:
    """Return median and noise of valid pixels: ranks only, so the order of the pixels is of no account."""
    middle = (values.size - 1) // 2
    lower = np.partition(values, middle)
    sky = float(lower[middle])
    below = round(2 * quantile * middle)  # one rank a call: numpy's fast selection takes a single one
    noise = sky - float(np.partition(lower[: middle + 1], below)[below])
    # Below the median lies sky alone; where that half is all equal, the range has to do.
    noise = noise or float(values.max()) - float(values.min())
    return Level(sky, noise)


def _asinh_scaled(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_], sky: float, noise: float, softening: float
) -> NDArray[np.float32]:
    """Return asinh of the sky-subtracted flux in units of `softening` sky sigmas."""
    with np.errstate(over="ignore"):  # an infinity is clipped next
        scaled = (pixels - np.float32(sky)) * np.float32(1 / max(noise * softening, 1e-30))
    np.clip(scaled, -MAX_SIGMAS, MAX_SIGMAS, out=scaled)
    np.arcsinh(scaled, out=scaled)
    scaled *= valid
    scaled += np.float32(0)  # no negative zeros
    return scaled


def _crop(frame: NDArray[Any], size: int) -> NDArray[Any]:
    start = (STAMP_SIZE - size) // 2
    return frame if size == STAMP_SIZE else np.ascontiguousarray(frame[start : start + size, start : start + size])


class _Preparation:
    """The stamps of one alert on their way to arrays."""

    def __init__(self, recipe: Recipe, flags: ZtfFlag, problems: list[str | None]) -> None:
        self.recipe = recipe
        self.flags = flags
        self.problems = problems
        self.levels = [Level(), Level(), Level()]
        self.pixels: list[NDArray[np.float32] | None] = [None] * 3
        self.stamps = np.zeros((3, recipe.size, recipe.size), np.float32)
        self.masks = np.zeros_like(self.stamps)

    def measure(self, channel: int, frame: NDArray[np.float32]) -> None:
        """Mask a stamp, measure its sky and noise over the whole frame, and crop it."""
        valid = _valid(frame, self.recipe.max_pixel)
        values = frame.ravel() if valid.all() else frame[valid]
        pixels, inside = _crop(frame, self.recipe.size), _crop(valid, self.recipe.size)
        self.masks[channel] = inside
        low, high = pixels.min(where=inside, initial=np.inf), pixels.max(where=inside, initial=-np.inf)
        if low > high:
            self._unusable(channel, ZtfFlag.ALL_MASKED, "has no valid pixel")
        elif low == high:
            self._unusable(channel, ZtfFlag.CONSTANT_STAMP, "is constant")
        else:
            self.levels[channel] = _level(values, self.recipe.noise_quantile)
            self.pixels[channel] = pixels if values.size == frame.size else np.where(inside, pixels, np.float32(0))

    def _unusable(self, channel: int, flag: ZtfFlag, problem: str) -> None:
        self.flags |= flag
        self.problems[channel] = problem

    def scale(self) -> None:
        """Scale each usable stamp; science and template by one noise, so that their flux ratio is kept."""
        shared = self.levels[SCIENCE].noise or self.levels[TEMPLATE].noise
        for channel, pixels in enumerate(self.pixels):
            if pixels is None:
                continue
            valid = self.masks[channel] > 0
            level = self.levels[channel]
            noise = level.noise if channel == DIFFERENCE else shared
            self.stamps[channel] = (
                _asinh_scaled(pixels, valid, level.sky, noise, self.recipe.softening)
                if self.recipe.scaling == "asinh"
                else minmax_scaled(pixels, valid)
            )


def prepare_stamps(alert: ZtfAlert, recipe: Recipe) -> PreparedStamps:
    """Return the stamps of an alert as the model takes them.

    Parameters
    ----------
    alert : ZtfAlert
        The alert.
    recipe : Recipe
        The parameters.
    """
    read = [_read(cutout, recipe.max_pixel) for cutout in alert.cutouts]
    flags = read[0][1] | read[1][1] | read[2][1]
    frames, flags = _placed([pixels for pixels, _, _ in read], alert, flags)
    work = _Preparation(recipe, flags, [problem for _, _, problem in read])
    for channel, frame in enumerate(frames):
        if frame is not None:
            work.measure(channel, frame)
    work.scale()
    if work.problems[TEMPLATE]:
        work.flags |= ZtfFlag.NO_TEMPLATE
    science, template, difference = work.levels
    return PreparedStamps(work.stamps, work.masks, (science, template, difference), work.flags, tuple(work.problems))

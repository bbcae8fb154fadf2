"""Stamps as a person wants to see them: faint and bright at once, missing pixels marked as such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.plots.style import FAINT, INK, PAPER

__all__ = ["STAMP_NAMES", "Card", "Stamps", "draw_stamps", "gallery", "stamp_triplet", "stretch"]

STAMP_NAMES = ("science", "template", "difference")
ZTF_PIXEL_ARCSEC = 1.012
"""Side of a ZTF pixel (Dekany et al. 2020, PASP 132, 038001)."""

_MISSING = "#c9d3dc"
_BAR_ARCSEC = 20.0
_TEXT_WIDTH = 1.36  # in widths of a stamp

Pixels = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Stamps:
    """Three cut-outs in flux units; None for one that is absent, NaN for pixels without a value.

    Parameters
    ----------
    science, template, difference : ndarray (rows, columns) or None
        Row 0 is the lowest.
    pixel_arcsec : float
        Side of a pixel.
    """

    science: Pixels | None
    template: Pixels | None
    difference: Pixels | None
    pixel_arcsec: float = ZTF_PIXEL_ARCSEC

    @property
    def images(self) -> tuple[Pixels | None, ...]:
        """The three in the order of :data:`STAMP_NAMES`."""
        return self.science, self.template, self.difference


@dataclass(frozen=True, slots=True)
class Card:
    """An alert in a gallery: its stamps, a heading, and lines of text below it.

    Parameters
    ----------
    stamps : Stamps
        Its cut-outs.
    heading : str
        Its name.
    lines : sequence of str
        Whatever else is worth a line.
    colour : str
        Of the first of these lines.
    """

    stamps: Stamps
    heading: str
    lines: Sequence[str] = ()
    colour: str = INK


def stretch(pixels: Pixels, *, signed: bool = False) -> AsinhNorm:
    """Return a display scale: linear in the noise, logarithmic in what rises above it.

    Parameters
    ----------
    pixels : ndarray
        An image; pixels that are not finite are left out.
    signed : bool
        True for a difference: symmetric about its sky level.
    """
    values = pixels[np.isfinite(pixels)].astype(np.float64)
    if not values.size:
        return AsinhNorm(1.0, vmin=-1.0, vmax=1.0)
    # Stars only add light, so the noise is read off the dark side.
    low, sky = np.percentile(values, (16, 50))
    noise = max(float(sky - low), 1e-6 * float(np.abs(values).max()), 1e-12)
    top, bottom = np.percentile(values, (99.9, 0.1))
    if signed:
        reach = max(float(top - sky), float(sky - bottom), 6.0 * noise)
        return _Shifted(2.0 * noise, float(sky), -reach, reach)
    return _Shifted(2.0 * noise, float(sky), -2.0 * noise, max(float(top - sky), 12.0 * noise))


class _Shifted(AsinhNorm):
    """An asinh scale whose zero is the sky level."""

    def __init__(self, linear_width: float, sky: float, low: float, high: float) -> None:
        super().__init__(linear_width, vmin=low, vmax=high)
        self._sky = sky

    def __call__(self, value: Any, clip: bool | None = None) -> Any:
        return super().__call__(np.ma.masked_invalid(value) - self._sky, clip)


def draw_stamps(axes: Sequence[Axes], stamps: Stamps, *, bar: bool = True) -> None:
    """Draw science, template and difference on three axes, without ticks; the first gets a scale bar."""
    for channel, (place, image) in enumerate(zip(axes, stamps.images, strict=True)):
        _frame(place)
        if image is None or not np.isfinite(image).any():
            place.text(0.5, 0.5, "no stamp", transform=place.transAxes, ha="center", va="center", color=FAINT)
            place.set_facecolor(_MISSING)
            place.set_box_aspect(1)
            continue
        difference = channel == STAMP_NAMES.index("difference")
        place.imshow(
            image,
            cmap=_colours(difference=difference),
            norm=stretch(image, signed=difference),
            origin="lower",
            interpolation="nearest",
        )
        if bar and channel == 0:
            _scale_bar(place, image.shape[1], stamps.pixel_arcsec)


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.6)


def _colours(*, difference: bool) -> Colormap:
    # Blue is fainter than the template, red brighter; both ends are told apart by every kind of colour vision.
    return colormaps["RdBu_r" if difference else "gray"].with_extremes(bad=_MISSING)


def _scale_bar(axes: Axes, columns: int, pixel_arcsec: float) -> None:
    length = _BAR_ARCSEC / pixel_arcsec
    if length > 0.6 * columns:
        return
    left, height = 0.06 * columns, 0.07 * columns
    axes.plot([left, left + length], [height, height], color=PAPER, linewidth=2.2, solid_capstyle="butt")
    axes.text(left + length / 2, 1.5 * height, f"{_BAR_ARCSEC:g}″", color=PAPER, fontsize=9, ha="center")


def stamp_triplet(stamps: Stamps, heading: str = "") -> Figure:
    """Return one alert's stamps side by side, with axes in arc seconds from the source.

    Parameters
    ----------
    stamps : Stamps
        The cut-outs.
    heading : str
        Shown above them.
    """
    figure = Figure(figsize=(10.5, 4.2), layout="constrained", facecolor=PAPER)
    axes = figure.subplots(1, 3, sharey=True)
    draw_stamps(axes, stamps, bar=False)
    for place, name, image in zip(axes, STAMP_NAMES, stamps.images, strict=True):
        place.set_title(name, fontsize=13, color=INK)
        place.set_xlabel("x offset (arcsec)", fontsize=11)
        if image is not None:
            _arcseconds(place, image.shape, stamps.pixel_arcsec)
    axes[0].set_ylabel("y offset (arcsec)", fontsize=11)
    if heading:
        figure.suptitle(heading, fontsize=14, fontweight="bold", color=INK)
    return figure


def _arcseconds(axes: Axes, shape: tuple[int, ...], pixel_arcsec: float) -> None:
    reach = int(0.5 * min(shape) * pixel_arcsec / 10) * 10
    marks = np.linspace(-reach, reach, 5) if reach else np.zeros(1)
    axes.set_xticks(marks / pixel_arcsec + (shape[1] - 1) / 2, [f"{mark:g}" for mark in marks])
    axes.set_yticks(marks / pixel_arcsec + (shape[0] - 1) / 2, [f"{mark:g}" for mark in marks])


def gallery(cards: Sequence[Card]) -> Figure:
    """Return alerts below each other, each with its text and its three stamps.

    Parameters
    ----------
    cards : sequence of Card
        At least one.
    """
    figure = Figure(figsize=(8.4, 1.9 * len(cards) + 0.5), facecolor=PAPER)
    draw_gallery(figure, cards)
    return figure


def draw_gallery(
    figure: Figure, cards: Sequence[Card], *, box: tuple[float, float, float, float] = (0.02, 0.01, 0.98, 0.94),
    heading: str = "",
) -> None:  # fmt: skip
    """Draw a gallery into the part of a figure from (left, bottom) to (right, top), headed by a line."""
    left, bottom, right, top = box
    grid = figure.add_gridspec(
        len(cards), 4, left=left, bottom=bottom, right=right, top=top,
        width_ratios=(_TEXT_WIDTH, 1, 1, 1), wspace=0.04, hspace=0.08,
    )  # fmt: skip
    for row, card in enumerate(cards):
        text, *axes = (figure.add_subplot(grid[row, column]) for column in range(4))
        text.set_box_aspect(1 / _TEXT_WIDTH)  # as tall as the stamps beside it
        text.set_anchor("W")
        draw_stamps(axes, card.stamps, bar=row == 0)
        _caption(text, card)
        if row == 0:
            text.annotate(
                heading, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", va="bottom",
                fontsize=14, fontweight="bold", color=INK,
            )  # fmt: skip
            for place, name in zip(axes, STAMP_NAMES, strict=True):
                place.set_title(name, fontsize=12, color=INK, pad=5)


def _caption(axes: Axes, card: Card) -> None:
    axes.set_axis_off()
    axes.text(0, 0.86, card.heading, fontsize=12.5, fontweight="bold", color=INK, va="center")
    for number, line in enumerate(card.lines):
        first = number == 0
        axes.text(
            0, 0.66 - 0.175 * number, line, fontsize=12 if first else 11, va="center",
            color=card.colour if first else INK, fontweight="bold" if first else "normal",
        )  # fmt: skip

"""What all pictures share: colours that colour-blind readers can tell apart, type sizes, frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

__all__ = ["BANDS", "FAINT", "INK", "PAPER", "Look", "key", "looks", "tidy", "title"]

INK = "#22262b"
FAINT = "#7a828c"
PAPER = "#ffffff"
_GRID = "#e6e9ed"


class Look(NamedTuple):
    """Colour and marker of a kind of thing: two ways to tell it apart, for one may not be seen."""

    colour: str
    marker: str


# Okabe and Ito 2008, "Color Universal Design": in the order of our classes AGN, SN, VS, asteroid, bogus.
_LOOKS = (
    Look("#CC79A7", "D"),
    Look("#D55E00", "^"),
    Look("#0072B2", "o"),
    Look("#009E73", "s"),
    Look("#8a8f96", "X"),
    Look("#E69F00", "v"),
    Look("#56B4E9", "P"),
    Look("#F0E442", "*"),
)

BANDS = {"g": Look("#009E73", "o"), "r": Look("#D55E00", "s"), "i": Look("#0072B2", "D")}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name; the same names in the same order always look the same."""
    return {name: _LOOKS[index % len(_LOOKS)] for index, name in enumerate(names)}


def tidy(axes: Axes) -> None:
    """Give axes the house style: no box, a faint grid behind the data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=11, color=FAINT)
    axes.xaxis.label.set(size=12, color=INK)
    axes.yaxis.label.set(size=12, color=INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def title(axes: Axes, text: str, note: str = "") -> None:
    """Head axes with a bold line, and below it a faint note or room for :func:`key`; flush left."""
    if note:
        _above(axes, note, 6, fontsize=11, color=FAINT)
    _above(axes, text, 25, fontsize=14, fontweight="bold", color=INK)


def key(axes: Axes, entries: Iterable[tuple[str, Look]], *, hollow: Collection[str] = ()) -> None:
    """Put a legend between title and axes, in one line, where it can cover no data.

    Parameters
    ----------
    axes : Axes
        With a :func:`title` without a note.
    entries : iterable of (str, Look)
        Text and look of each kind.
    hollow : collection of str
        Texts whose markers are open.
    """
    handles = [
        Line2D(
            [], [], linestyle="none", marker=look.marker, markersize=7, color=look.colour, label=text,
            markerfacecolor="none" if text in hollow else look.colour,
        )
        for text, look in entries
    ]  # fmt: skip
    if handles:
        axes.legend(
            handles=handles, ncols=len(handles), loc="lower left", bbox_to_anchor=(-0.01, 1.0), fontsize=11,
            frameon=False, handletextpad=0.1, columnspacing=1.1, handlelength=1.3, borderaxespad=0.1, labelcolor=INK,
        )  # fmt: skip


def _above(axes: Axes, text: str, points: float, **style: Any) -> None:
    axes.annotate(text, (0, 1), (0, points), xycoords="axes fraction", textcoords="offset points", va="bottom", **style)

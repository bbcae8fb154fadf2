"""A night in one picture: the strangest alerts, the map of all, and how strange each class is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.plots.curves import LightCurve, draw_light_curve
from fulgor.plots.distribution import draw_anomaly_by_class
from fulgor.plots.maps import draw_latent_map
from fulgor.plots.stamps import Card, draw_gallery
from fulgor.plots.style import FAINT, INK, PAPER

__all__ = ["NightPicture", "night_picture"]


@dataclass(frozen=True, slots=True)
class NightPicture:
    """What the picture shows.

    Parameters
    ----------
    heading, subheading : str
        Above everything.
    latents : ndarray (N, D)
        Of all alerts.
    classes : sequence of str (N,)
        Of all alerts.
    names : sequence of str
        All classes in the model's order.
    anomaly : ndarray (N,)
        Of all alerts.
    strangest : sequence of int
        Indices of the alerts in `cards`.
    cards : sequence of Card
        The gallery, the strangest first.
    curve : LightCurve or None
        Of one of them.
    curve_heading : str
        Which.
    """

    heading: str
    subheading: str
    latents: NDArray[np.floating[Any]]
    classes: Sequence[str]
    names: Sequence[str]
    anomaly: NDArray[np.floating[Any]]
    strangest: Sequence[int]
    cards: Sequence[Card]
    curve: LightCurve | None
    curve_heading: str


def night_picture(night: NightPicture) -> Figure:
    """Return the picture, 16 by 10 inches: 1,600 pixels wide at 100 dpi.

    Parameters
    ----------
    night : NightPicture
        What it shows.
    """
    figure = Figure(figsize=(16, 10.6), facecolor=PAPER)
    figure.text(0.018, 0.962, night.heading, fontsize=23, fontweight="bold", color=INK, va="center")
    figure.text(0.018, 0.926, night.subheading, fontsize=13, color=FAINT, va="center")
    if night.cards:
        draw_gallery(figure, night.cards, box=(0.018, 0.038, 0.43, 0.868), heading="The strangest")
        figure.text(0.43, 0.016, "blue-grey pixels hold no data", fontsize=10, color=FAINT, ha="right", va="center")
    right = figure.add_gridspec(
        2,
        2,
        left=0.487,
        right=0.985,
        bottom=0.065,
        top=0.853,
        height_ratios=(1.6, 1),
        width_ratios=(1.12, 1),
        hspace=0.4,
        wspace=0.24,
    )
    if len(night.latents):
        draw_latent_map(
            figure.add_subplot(right[0, :]), night.latents, night.classes, names=night.names, marked=night.strangest
        )
    draw_anomaly_by_class(figure.add_subplot(right[1, 1]), night.anomaly, night.classes, names=night.names)
    if night.curve is not None:
        draw_light_curve(figure.add_subplot(right[1, 0]), night.curve, night.curve_heading)
    return figure

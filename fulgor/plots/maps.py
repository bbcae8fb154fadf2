"""Latents on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulgor.errors import ModelError, SettingsError
from fulgor.plots.style import INK, PAPER, key, looks, tidy, title

__all__ = [
    "Projection",
    "anomaly_map",
    "draw_latent_map",
    "label_axes",
    "latent_map",
    "principal_axes",
    "principal_plane",
    "umap_plane",
    "view",
]

Floats = NDArray[np.floating[Any]]
_FEWEST = 20
_LAYERS = 10
_INK = 26_000.0  # area of all points together, square points
_FAR = 21.5  # pixels; farther is no better
_SIDES = 22.0 * np.array([(np.cos(angle), np.sin(angle)) for angle in np.pi * (0.25 + 0.25 * np.arange(8))])
_VIEW = 0.4  # of the range of the bulk: how far beyond it points are shown


@dataclass(frozen=True, slots=True)
class Projection:
    """Points on a plane.

    Parameters
    ----------
    points : ndarray (N, 2)
        Where each latent lies.
    explained : tuple of float or None
        Part of the variance along each axis; None for a projection that keeps neighbours, not distances (UMAP).
    """

    points: NDArray[np.float64]
    explained: tuple[float, float] | None


def principal_plane(latents: Floats) -> Projection:
    """Project latents onto the plane in which they vary most (principal components).

    The plane is found from latents clipped to their central 98 % in each dimension, so that a few
    strange ones do not turn it; then all are projected. Each axis points where its longest tail is.

    Parameters
    ----------
    latents : ndarray (N, D)
        Finite; N >= 1, D >= 2.
    """
    points, explained = principal_axes(latents, 2)
    return Projection(points, (explained[0], explained[1]))


def principal_axes(latents: Floats, count: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Return latents along their first principal components (N, count), and these' parts of the variance.

    As :func:`principal_plane` says; where the latents span fewer axes, the others are 0.
    """
    values = np.asarray(latents, dtype=np.float64)
    low, high = np.percentile(values, (1, 99), axis=0)
    centre = np.median(values, axis=0)
    _, spread, axes = np.linalg.svd(np.clip(values, low, high) - centre, full_matrices=False)
    points = (values - centre) @ axes[:count].T
    missing = count - points.shape[1]
    points, spread = np.pad(points, ((0, 0), (0, missing))), np.pad(spread, (0, missing))
    points *= np.where(points.max(axis=0) >= -points.min(axis=0), 1.0, -1.0)
    variance = spread**2 / max(float((spread**2).sum()), 1e-30)
    return points, tuple(variance[:count].tolist())


def umap_plane(latents: Floats, *, seed: int = 0) -> Projection:
    """Project latents so that neighbours stay neighbours (UMAP, McInnes et al. 2018, arXiv:1802.03426).

    Parameters
    ----------
    latents : ndarray (N, D)
        Finite.
    seed : int
        Fixes the picture.

    Raises
    ------
    SettingsError
        umap-learn is not installed.
    ModelError
        There are too few latents.
    """
    if find_spec("umap") is None:
        raise SettingsError("UMAP needs umap-learn: pip install 'fulgor[umap]', or take the principal components")
    if len(latents) < _FEWEST:
        raise ModelError(f"UMAP of {len(latents)} latents tells nothing, it needs {_FEWEST}; take a larger archive")
    values = np.asarray(latents, dtype=np.float64)
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    points = import_module("umap").UMAP(n_components=2, random_state=seed, n_jobs=1).fit_transform(scaled)
    return Projection(np.asarray(points, dtype=np.float64), None)


def label_axes(axes: Axes, plane: Projection) -> None:
    """Say what the axes of a plane are."""
    if plane.explained is None:
        axes.set_xlabel("UMAP 1 (no unit: neighbours, not distances, are kept)")
        axes.set_ylabel("UMAP 2")
        return
    first, second = plane.explained
    axes.set_xlabel(f"principal component 1 ({first:.0%} of the variance)")
    axes.set_ylabel(f"principal component 2 ({second:.0%})")


def latent_map(
    latents: Floats,
    classes: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    marked: Sequence[int] = (),
    plane: Projection | None = None,
) -> Figure:
    """Return the map of latents, coloured by class.

    Parameters
    ----------
    latents : ndarray (N, D)
        Finite.
    classes : sequence of str (N,)
        Class of each.
    names : sequence of str, optional
        All classes in their order, which fixes the colours; by default those that occur, sorted.
    marked : sequence of int
        Indices to ring and number from 1.
    plane : Projection, optional
        Where they lie; by default :func:`principal_plane`.
    """
    figure = Figure(figsize=(9, 6.4), layout="constrained", facecolor=PAPER)
    draw_latent_map(figure.subplots(), latents, classes, names=names, marked=marked, plane=plane)
    return figure


def anomaly_map(plane: Projection, anomaly: Floats) -> Figure:
    """Return the map coloured by how strange each alert is, the strangest on top.

    Parameters
    ----------
    plane : Projection
        N points.
    anomaly : ndarray (N,)
        In [0, 1]; NaN, where there is none, is drawn faint.
    """
    figure = Figure(figsize=(9, 6.4), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    known = np.isfinite(anomaly)
    order = np.flatnonzero(known)[np.argsort(anomaly[known], kind="stable")]
    size = float(np.clip(_INK / max(len(anomaly), 1), 10.0, 26.0))
    without = plane.points[~known]
    axes.scatter(without[:, 0], without[:, 1], s=size, c="#cdd3da", linewidths=0)
    shown = axes.scatter(
        plane.points[order, 0], plane.points[order, 1], s=size, c=anomaly[order], cmap="magma_r", vmin=0, vmax=1,
        linewidths=0,
    )  # fmt: skip
    view(axes, plane.points, plane.points[:0])
    label_axes(axes, plane)
    tidy(axes)
    title(axes, f"{len(plane.points):,} latents on a plane", "coloured by anomaly")
    bar = figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=11, colors=INK)
    bar.set_label("anomaly (mean percentile in the reference)", fontsize=12, color=INK)
    return figure


def draw_latent_map(
    axes: Axes,
    latents: Floats,
    classes: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    marked: Sequence[int] = (),
    plane: Projection | None = None,
) -> None:
    """Draw what :func:`latent_map` returns."""
    plane = plane or principal_plane(latents)
    points, labels = plane.points, np.asarray(classes)
    known = {name: (look, points[labels == name]) for name, look in looks(names or sorted(set(classes))).items()}
    size = float(np.clip(_INK / len(points), 10.0, 22.0))
    for layer in range(_LAYERS):  # by turns, so that no class lies on top of all others
        for look, here in known.values():
            part = here[layer::_LAYERS]
            axes.scatter(part[:, 0], part[:, 1], s=size, c=look.colour, marker=look.marker, alpha=0.6, linewidths=0)
    entries = [(f"{name} ({len(here):,})", look) for name, (look, here) in known.items()]
    view(axes, points, points[list(marked)])
    _mark(axes, points[list(marked)])
    label_axes(axes, plane)
    tidy(axes)
    title(axes, f"{len(points):,} latents on a plane")
    key(axes, entries)


def view(axes: Axes, points: NDArray[np.float64], marked: NDArray[np.float64]) -> None:
    """Show the bulk and the marked points; one latent far out must not shrink everything to a dot."""
    low, high = np.percentile(points, (0.5, 99.5), axis=0)
    reach = np.maximum(high - low, 1e-9)
    low, high = low - _VIEW * reach, high + _VIEW * reach
    low, high = np.maximum(points.min(axis=0), low), np.minimum(points.max(axis=0), high)
    if len(marked):
        low, high = np.minimum(low, marked.min(axis=0)), np.maximum(high, marked.max(axis=0))
    margin = 0.08 * np.maximum(high - low, 1e-9)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _mark(axes: Axes, points: NDArray[np.float64]) -> None:
    """Ring points and number them, each number on the side where it is farthest from all other rings and numbers."""
    axes.scatter(points[:, 0], points[:, 1], s=150, facecolors="none", edgecolors=INK, linewidths=1.6, zorder=4)
    taken = list(axes.transData.transform(points))
    for number, point in enumerate(points, 1):
        at = axes.transData.transform(point) + _SIDES
        free = [min(float(np.hypot(*(side - other))) for other in taken) for side in at]
        best = int(np.argmax(np.minimum(free, _FAR)))
        taken.append(at[best])
        x, y = _SIDES[best] * (72.0 / axes.figure.dpi)
        axes.annotate(
            str(number), (point[0], point[1]), (x, y), textcoords="offset points", fontsize=12, fontweight="bold",
            color=INK, zorder=6, ha="center", va="center",
        )  # fmt: skip

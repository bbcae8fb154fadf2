"""Latents on a plane."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fulgor.plots import latent_map, principal_plane
from fulgor.plots.maps import Projection, anomaly_map


@pytest.fixture
def latents() -> np.ndarray:
    """A cloud that is long along (1, 1, 0, ...) and less so along the third axis."""
    random = np.random.default_rng(3)
    values = 0.1 * random.normal(size=(500, 8))
    values[:, :2] += random.normal(0, 5, (500, 1))
    values[:, 2] += random.normal(0, 2, 500)
    return values.astype(np.float32)


def test_the_plane_is_the_one_of_largest_variance(latents):
    plane = principal_plane(latents)
    assert np.abs(np.corrcoef(plane.points[:, 0], latents[:, 0])[0, 1]) > 0.99
    assert np.abs(np.corrcoef(plane.points[:, 1], latents[:, 2])[0, 1]) > 0.99
    assert plane.explained[0] > plane.explained[1] > 0
    assert sum(plane.explained) > 0.99


def test_a_few_far_latents_do_not_turn_the_plane(latents):
    strange = latents.copy()
    strange[:3, 7] = 1000.0
    plane = principal_plane(strange)
    assert np.abs(np.corrcoef(plane.points[3:, 0], latents[3:, 0])[0, 1]) > 0.99


def test_one_latent_is_a_point():
    plane = principal_plane(np.ones((1, 64)))
    assert plane.points.shape == (1, 2)
    assert np.isfinite(plane.points).all()


def test_the_map_names_classes_with_counts_and_numbers_what_is_marked(latents, tmp_path):
    classes = ["SN"] * 100 + ["VS"] * 400
    figure = latent_map(latents, classes, names=("AGN", "SN", "VS"), marked=(7, 3))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["AGN (0)", "SN (100)", "VS (400)"]
    texts = [text.get_text() for text in axes.texts]
    assert {"1", "2", "500 latents on a plane"} <= set(texts)
    assert "principal component 1 (" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    figure.savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_classes_keep_their_colours_whatever_occurs(latents):
    names = ("AGN", "SN", "VS")
    whole = latent_map(latents, ["SN"] * 250 + ["VS"] * 250, names=names)
    part = latent_map(latents, ["VS"] * 500, names=names)
    colours = [figure.axes[0].get_legend().legend_handles[2].get_color() for figure in (whole, part)]
    assert colours[0] == colours[1]
    points = [points for points in part.axes[0].collections if len(points.get_offsets())]
    drawn = {to_hex(row) for shown in points for row in shown.get_facecolor() if row[3]}
    assert drawn == {to_hex(colours[0])}


def test_no_class_is_drawn_over_all_others(latents):
    axes = latent_map(latents, ["SN"] * 250 + ["VS"] * 250).axes[0]
    first = [to_hex(points.get_facecolor()[0]) for points in axes.collections if len(points.get_offsets())]
    assert first[0] == first[2] != first[1]
    shown = sum(len(points.get_offsets()) for points in axes.collections)
    assert shown == len(latents)


def test_what_is_far_out_does_not_shrink_the_rest_unless_it_is_marked(latents):
    far = latents.copy()
    far[0, :2] = 10_000.0
    bulk = latent_map(far, ["VS"] * 500).axes[0].get_xlim()
    marked = latent_map(far, ["VS"] * 500, marked=[0]).axes[0].get_xlim()
    assert max(map(abs, bulk)) < 100
    assert max(map(abs, marked)) > 10_000


def test_numbers_of_neighbours_lie_apart(latents):
    near = latents.copy()
    near[1] = near[0]
    axes = latent_map(near, ["VS"] * 500, marked=(0, 1)).axes[0]
    first, second = (np.array(text.xyann) for text in axes.texts if text.get_text() in "12")
    assert np.hypot(*(first - second)) > 10


def test_the_strangest_lie_on_top(latents):
    anomaly = np.linspace(1.0, 0.0, len(latents))
    anomaly[:4] = np.nan
    figure = anomaly_map(principal_plane(latents), anomaly)
    without, known = figure.axes[0].collections
    assert len(without.get_offsets()) == 4
    assert np.all(np.diff(known.get_array()) >= 0)
    assert figure.axes[0].get_xlabel().startswith("principal component 1")
    assert "anomaly" in figure.axes[1].get_ylabel()


def test_another_plane_can_be_given(latents):
    plane = Projection(latents[:, 6:].astype(np.float64), None)
    figure = latent_map(latents, ["a"] * len(latents), plane=plane)
    drawn = np.concatenate([part.get_offsets() for part in figure.axes[0].collections if len(part.get_offsets())])
    assert {tuple(row) for row in np.round(drawn, 6)} == {tuple(row) for row in np.round(plane.points, 6)}
    assert figure.axes[0].get_ylabel() == "UMAP 2"

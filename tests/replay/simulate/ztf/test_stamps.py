from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest

from fulgor.replay.simulate.ztf.assembly import Target, assemble
from fulgor.replay.simulate.ztf.cadence import Nights
from fulgor.replay.simulate.ztf.population import draw_object
from fulgor.replay.simulate.ztf.sky import Scene

SPAN = (2_460_310.5, 2_460_370.5)


@pytest.fixture(scope="module")
def nights():
    return Nights.draw(np.random.default_rng(3), SPAN[0] - 31, SPAN[1] + 1)


def drawn(label, nights, number):
    """The first objects of a class that send alerts."""
    objects = (draw_object((77, serial), label, nights, SPAN) for serial in range(20 * number))
    return [one for one in objects if len(one.emitted)][:number]


def distance():
    rows, columns = np.mgrid[:63, :63] - 31
    return np.hypot(rows, columns)


def test_files_are_those_of_the_survey(alerts):
    for alert in alerts[:20]:
        packed = alert.record["cutoutScience"]["stampData"]
        raw = gzip.decompress(packed)
        assert packed[:4] == b"\x1f\x8b\x08\x00"
        assert packed[8:10] == b"\x02\x03"
        assert len(raw) % 2880 == 0
        assert raw[:12] == b"SIMPLE  =  T"
        assert int.from_bytes(packed[4:8], "little") == pytest.approx((alert.jd - 2_440_587.5) * 86_400, abs=3600)
        if b"63" in raw[240:320] and b"63" in raw[320:400]:
            assert len(raw) == 20_160


def test_sizes_of_files(alerts):
    for key, low, high in (
        ("cutoutScience", 8_000, 15_500),
        ("cutoutTemplate", 7_000, 15_500),
        ("cutoutDifference", 8_000, 15_500),
    ):
        sizes = [len(alert.record[key]["stampData"]) for alert in alerts]
        assert low < np.percentile(sizes, 5)
        assert max(sizes) < high


def test_edge_cuts_are_rare_shared_and_where_the_edge_is(alerts, stamps):
    cut = 0
    for alert in alerts:
        shapes = {image.shape for image in stamps(alert.record)}
        assert len(shapes) == 1
        rows, columns = shapes.pop()
        x, y = alert.record["candidate"]["xpos"], alert.record["candidate"]["ypos"]
        assert columns == 32 + min(31, round(x) - 1, 3072 - round(x))
        assert rows == 32 + min(31, round(y) - 1, 3080 - round(y))
        assert alert.record["candidate"]["mindtoedge"] == pytest.approx(min(x, y, 3072.5 - x, 3080.5 - y))
        cut += (rows, columns) != (63, 63)
    assert 0.003 < cut / len(alerts) < 0.06


def test_masked_pixels_are_as_frequent_as_in_the_survey_and_spare_the_centre(alerts, stamps):
    fractions = []
    for alert in alerts:
        science, template, difference = stamps(alert.record)
        assert np.array_equal(np.isnan(science), np.isnan(difference))
        assert not (np.isnan(template) & ~np.isnan(science)).any()
        assert not np.isinf(science).any()
        if science.shape == (63, 63):
            assert np.isfinite(science[31, 31])
        fractions.append(float(np.isnan(science).mean()))
    masked = np.array([fraction for fraction in fractions if fraction > 0])
    assert 0.07 < len(masked) / len(alerts) < 0.2
    assert 0.02 < np.median(masked) < 0.14
    assert masked.max() < 0.7


def test_difference_holds_the_stated_flux(alerts, stamps):
    near = distance() <= 5
    ring = (distance() > 10) & (distance() < 25)
    checked = 0
    for alert in alerts:
        candidate = alert.record["candidate"]
        image = stamps(alert.record)[2]
        crowded = candidate["magnr"] > 0 and candidate["magnr"] < 16
        # A trail holds more than the profile that is fitted to it.
        if alert.label in ("bogus", "asteroid") or image.shape != (63, 63) or np.isnan(image).any() or crowded:
            continue
        if candidate["sigmapsf"] > 0.12 or candidate["distpsnr2"] < 8:
            continue
        counts = float((image[near] - np.median(image[ring])).sum())
        stated = 10.0 ** (-0.4 * (candidate["magpsf"] - candidate["magzpsci"]))
        assert counts / stated == pytest.approx(0.98, abs=5 * candidate["sigmapsf"] + 0.1)
        checked += 1
    assert checked > 30


def test_faded_sources_are_shown_positive(alerts, stamps):
    """ZTF ships template less science where the source faded; its name says so."""
    faded = [alert for alert in alerts if alert.record["candidate"]["isdiffpos"] == "f" and alert.label == "VS"]
    assert len(faded) > 20
    for alert in faded:
        assert "refmsci" in alert.record["cutoutDifference"]["fileName"]
        image = stamps(alert.record)[2]
        if image.shape == (63, 63) and not np.isnan(image).any():
            noise = 1.4826 * np.median(np.abs(image - np.median(image)))
            assert image[29:34, 29:34].max() > 2.5 * noise


def test_most_supernovae_are_absent_from_the_template(nights, stamps):
    dark = 0
    for one in drawn("SN", nights, 12):
        assert one.curve.template == one.template_light
        if any(one.template_light):
            continue
        nothing = np.zeros((3, 0))
        empty = Scene(nothing[0], nothing[0], nothing[:2], (), 0.0, nothing)
        science, template, _ = stamps(assemble(Target.of(replace(one, scene=empty), 1), int(one.emitted[0]), 0))
        if science.shape != (63, 63) or np.isnan(science).any():
            continue
        noise = 1.4826 * np.median(np.abs(template - np.median(template)))
        assert abs(template[30:33, 30:33].mean() - np.median(template)) < 3 * noise
        dark += 1
    assert dark >= 3


def test_a_supernova_that_the_template_holds_shows_there_and_fades_below_it(nights, stamps):
    held = [one for one in drawn("SN", nights, 40) if any(one.template_light)]
    assert 2 <= len(held) <= 18
    assert any((one.curve.change < 0).any() for one in held)
    one = replace(held[0], template_light=(1e-6, 1e-6))  # magnitude 15
    _, template, _ = stamps(assemble(Target.of(one, 1), int(one.emitted[0]), 0))
    middle = template.shape[0] // 2, template.shape[1] // 2
    near = template[middle[0] - 2 : middle[0] + 3, middle[1] - 2 : middle[1] + 3]
    assert near.max() > np.nanmedian(template) + 300


def test_variable_stars_are_in_the_template(nights, stamps):
    for one in drawn("VS", nights, 12):
        if one.curve.kind == "cataclysmic":
            continue
        template = stamps(assemble(Target.of(one, 1), int(one.emitted[0]), 0))[1]
        if template.shape == (63, 63) and not np.isnan(template).any() and template.min() > 0:
            noise = 1.4826 * np.median(np.abs(template - np.median(template)))
            assert template[30:33, 30:33].max() > np.median(template) + 5 * noise


def test_visits_of_an_object_share_their_template(nights, stamps):
    one = next(one for one in drawn("VS", nights, 40) if len(one.emitted) > 3)
    target = Target.of(one, 1)
    by_band = {}
    for visit in one.emitted:
        template = stamps(assemble(target, int(visit), 0))[1]
        if template.shape == (63, 63) and np.isfinite(template).all() and template.min() > 0:
            by_band.setdefault(int(one.visits.fid[visit]), []).append(template[:12, :12] - np.median(template))
    alike = [np.corrcoef(group[0].ravel(), group[1].ravel())[0, 1] for group in by_band.values() if len(group) > 1]
    assert alike
    assert min(alike) > 0.5


def test_fast_asteroids_trail():
    from fulgor.replay.simulate.ztf.psf import PSF, render_stars, trail

    x, y = trail(31.0, 31.0, 8.0, 0.0)
    image = render_stars(PSF(2.2), x, y, np.full(len(x), 1000.0 / len(x)), 63)
    rows, columns = np.mgrid[:63, :63] - 31
    assert image.sum() == pytest.approx(1000, rel=0.01)
    assert (image * columns**2).sum() > 3 * (image * rows**2).sum()


def test_noise_of_science_and_difference_is_one_noise(alerts, stamps):
    """Away from sources the difference is the science image less its sky, but for the template's own noise."""
    correlations = []
    for alert in alerts:
        science, _, difference = stamps(alert.record)
        if alert.label == "asteroid" and science.shape == (63, 63) and not np.isnan(science).any():
            corner = np.s_[:10, :10]
            correlations.append(np.corrcoef(science[corner].ravel(), difference[corner].ravel())[0, 1])
    assert np.median(correlations) > 0.85

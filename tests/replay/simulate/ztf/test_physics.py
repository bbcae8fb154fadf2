from __future__ import annotations

import numpy as np
import pytest

from fulgor.replay.simulate.ztf import naming
from fulgor.replay.simulate.ztf.cadence import Nights, visit
from fulgor.replay.simulate.ztf.defects import bad_pixels, overlap
from fulgor.replay.simulate.ztf.lightcurves import active_nucleus, flux, magnitude, supernova, variable_star
from fulgor.replay.simulate.ztf.photometry import measure, stated_error
from fulgor.replay.simulate.ztf.psf import PSF, render_aureoles, render_galaxy, render_stars
from fulgor.replay.simulate.ztf.sky import galactic_latitude


def half_width(profile: np.ndarray) -> float:
    """Full width at half maximum of a finely sampled profile, in samples."""
    above = np.flatnonzero(profile >= profile.max() / 2)
    return float(above[-1] - above[0] + 1)


@pytest.mark.parametrize("fwhm", [12.0, 20.0])
def test_psf_has_the_width_that_was_asked_for(fwhm):
    image = render_stars(PSF(fwhm), np.array([100.0]), np.array([100.0]), np.ones(1), 201)
    assert half_width(image[100]) == pytest.approx(fwhm, abs=1.01)


def test_psf_keeps_the_flux_wherever_the_source_lies():
    for x, y in ((31.0, 31.0), (30.6, 31.3), (20.2, 40.9)):
        image = render_stars(PSF(2.3), np.array([x]), np.array([y]), np.array([500.0]), 63)
        assert image.sum() == pytest.approx(500.0, rel=0.01)
        rows, columns = np.mgrid[:63, :63]
        assert (image * columns).sum() / image.sum() == pytest.approx(x, abs=0.05)
        assert (image * rows).sum() / image.sum() == pytest.approx(y, abs=0.05)


@pytest.mark.parametrize("index", [1.0, 2.0, 4.0])
def test_galaxy_keeps_its_flux_and_half_light_radius(index):
    image = render_galaxy(PSF(1.0), 150.0, 150.0, 1.0, radius=20.0, axis_ratio=1.0, angle=0.3, index=index, size=301)
    rows, columns = np.mgrid[:301, :301] - 150
    inside = image[np.hypot(rows, columns) <= 20.0].sum()
    assert 0.85 < image.sum() <= 1.0
    assert inside == pytest.approx(0.5, abs=0.06)


def test_galaxy_beyond_the_stamp_draws_nothing():
    image = render_galaxy(PSF(2.0), -400.0, 5.0, 1e6, radius=3.0, axis_ratio=0.5, angle=1.0, index=1.0, size=63)
    assert not image.any()


def test_visits_are_in_order_alternate_and_skip_clouded_nights():
    rng = np.random.default_rng(1)
    nights = Nights.draw(rng, 2_460_300.0, 2_460_400.0)
    visits = visit(rng, nights, 2_460_310.0, 2_460_390.0, 1.0)
    assert (np.diff(visits.jd) > 0).all()
    assert visits.jd[0] >= 2_460_310.0
    assert visits.jd[-1] < 2_460_390.0
    assert nights.clear[np.floor(visits.jd).astype(int) - nights.first].all()
    assert (np.diff(visits.fid) != 0).mean() > 0.6
    assert set(visits.fid) == {1, 2}
    assert 18.5 < np.median(visits.limit) < 21.0


def test_supernova_is_nothing_before_and_fades_after():
    days = np.arange(0.0, 400.0)
    jd = 2_460_300.0 + np.tile(days, 2)
    fid = np.repeat([1, 2], len(days))
    for seed in range(12):
        curve = supernova(np.random.default_rng(seed), jd, fid, 2_460_350.0, 18.5)
        assert (curve.change[jd <= 2_460_350.0] == 0).all()
        assert (curve.change >= 0).all()
        r = curve.change[fid == 2]
        assert magnitude(r.max()) == pytest.approx(18.5, abs=0.6)
        assert r[-1] < 0.05 * r.max()
        assert 55 < r.argmax() < 120


def test_variables_never_go_below_darkness():
    jd = 2_460_300.0 + np.arange(0, 200, 0.7)
    fid = 1 + np.arange(len(jd)) % 2
    for seed in range(40):
        rng = np.random.default_rng(seed)
        curve = variable_star(rng, jd, fid, 16.0) if seed % 2 else active_nucleus(rng, jd, fid, 18.0)
        quiet = np.where(fid == 1, *curve.template)
        assert (curve.change + quiet > 0).all()
        assert np.std(curve.change) > 0


def test_measurement_recovers_the_flux_and_the_sign():
    rng = np.random.default_rng(5)
    psf = PSF(2.3)
    star = render_stars(psf, np.array([31.2]), np.array([30.9]), np.array([2000.0]), 63)
    noise = rng.normal(0.0, 5.0, (63, 63))
    for sign in (1.0, -1.0):
        found = measure(sign * star + noise, 100.0 + noise, psf, 31.2, 30.9, 5.0)
        assert found.positive == (sign > 0)
        assert found.flux == pytest.approx(2000.0, rel=0.05)
        assert found.values["nneg"] <= 4
        assert found.values["sumrat"] > 0.9


def test_measurement_ignores_masked_pixels():
    psf = PSF(2.3)
    star = render_stars(psf, np.array([31.0]), np.array([31.0]), np.array([900.0]), 63)
    holed = star.copy()
    holed[33:40, 28:40] = np.nan
    assert measure(holed, star, psf, 31.0, 31.0, 5.0).flux == pytest.approx(900.0, rel=1e-6)


def test_stated_error_reaches_five_sigma_near_the_limit_and_falls_with_brightness():
    limit = np.full(4, 20.5)
    errors = stated_error(flux(np.array([20.6, 19.5, 18.0, 15.0])), np.zeros(4), limit)
    assert 0.19 < errors[0] < 0.26
    assert (np.diff(errors) < 0).all()
    assert stated_error(np.zeros(1), np.zeros(1), limit[:1])[0] > 1


def test_masks_never_cover_the_centre_nor_nothing():
    rng = np.random.default_rng(0)
    fractions = []
    for _ in range(300):
        mask = bad_pixels(rng)
        assert not mask[31, 31]
        fractions.append(mask.mean())
    assert min(fractions) > 0.0
    assert max(fractions) < 0.6


@pytest.mark.parametrize(
    ("x", "y", "shape", "centre"),
    [
        (1500.2, 1500.7, (63, 63), (31, 31)),
        (3055.7, 2216.9, (63, 48), (31, 31)),  # these four as real alerts have them
        (2298.3, 3063.8, (48, 63), (31, 31)),
        (1564.8, 16.5, (47, 63), (15, 31)),
        (2225.8, 12.3, (43, 63), (11, 31)),
    ],
)
def test_overlap_with_the_detector(x, y, shape, centre):
    rows, columns = overlap(x, y)
    assert np.zeros((63, 63))[rows, columns].shape == shape
    assert (31 - rows.start, 31 - columns.start) == centre


def test_galactic_latitude_of_known_places():
    assert galactic_latitude(192.85948, 27.12825) == pytest.approx(90.0, abs=1e-3)
    assert galactic_latitude(266.405, -28.936) == pytest.approx(0.0, abs=0.1)
    assert galactic_latitude(10.68, 41.27) == pytest.approx(-21.6, abs=0.1)


def test_names_and_numbers_are_those_of_a_real_alert():
    """Facts of ZTF19aaococq, candid 2752190655615010016."""
    jd = 2_460_506.6906597
    assert naming.night_id(jd) == 2752
    assert naming.process_id(jd, 56) == 2_752_190_655_615
    assert naming.candid(2_752_190_655_615, positive=False, number=16) == 2_752_190_655_615_010_016
    assert naming.reference_id(279, 1, 56) == 279_120_156
    name = naming.difference_file(jd, 279, 56, 1, archived=False)
    assert name[:14] == "ztf_2024071519"
    assert name[18:] == "_000279_zg_c15_o_q1_scimrefdiffimg.fits"


def test_object_names_do_not_repeat():
    names = {naming.object_id(2_460_310.5, serial) for serial in range(20_000)}
    assert len(names) == 20_000
    assert all(len(name) == 12 and name.startswith("ZTF24") for name in names)


def test_an_aureole_falls_with_the_square_of_the_distance():
    image = render_aureoles(np.array([-60.0]), np.array([31.0]), np.array([1e6]), 63)
    assert image[31, 60] / image[31, 0] == pytest.approx((60**2 + 64) / (120**2 + 64))
    assert not render_aureoles(np.zeros(0), np.zeros(0), np.zeros(0), 63).any()


def test_the_moon_raises_the_noise_and_not_the_sky_of_the_images_as_shipped():
    nights = Nights.draw(np.random.default_rng(3), 2_460_250.5, 2_460_600.5)
    visits = visit(np.random.default_rng(4), nights, 2_460_250.5, 2_460_600.5, 5.0)
    phase = np.abs(((visits.jd - 2_460_304.5) / 29.530588 + 0.5) % 1.0 - 0.5)
    full, dark = phase < 0.1, phase > 0.4
    for band in (1, 2):
        noise, sky = visits.noise[visits.fid == band], visits.sky[visits.fid == band]
        bright, without = full[visits.fid == band], dark[visits.fid == band]
        assert np.median(noise[bright]) > 1.5 * np.median(noise[without])
        assert np.median(sky[bright]) == pytest.approx(np.median(sky[without]), rel=0.1)

from __future__ import annotations

import numpy as np
import pytest

from fulgor.replay.simulate.ztf.subtraction import proper_difference, readout_noise, resampled_noise


def correlation(images: np.ndarray, down: int, right: int) -> float:
    height, width = images.shape[1:]
    both = images[:, down:, right:] * images[:, : height - down, : width - right]
    return float(both.mean() / (images**2).mean())


def drawn(make) -> np.ndarray:
    return np.stack([make(np.random.default_rng(seed)) for seed in range(60)])


def test_a_template_has_the_correlated_noise_of_resampled_frames() -> None:
    noise = drawn(lambda rng: resampled_noise(rng, 1.5))
    assert noise.std() == pytest.approx(1.5, rel=0.02)
    for away, expected in ((1, 0.18), (2, -0.09), (3, 0.045), (8, 0.0)):
        assert correlation(noise, 0, away) == pytest.approx(expected, abs=0.012)
        assert correlation(noise, away, 0) == pytest.approx(expected, abs=0.012)


def test_an_exposure_undershoots_along_rows_alone() -> None:
    noise = drawn(lambda rng: readout_noise(rng, 5.0))
    assert noise.std() == pytest.approx(1.0, rel=0.02)
    assert correlation(noise, 0, 1) == pytest.approx(-0.066, abs=0.01)
    assert correlation(noise, 1, 0) == pytest.approx(0.0, abs=0.01)


def test_a_template_without_noise_leaves_the_science_image_as_it_is() -> None:
    new = np.random.default_rng(0).normal(0.0, 3.0, (63, 63))
    np.testing.assert_allclose(proper_difference(new, np.zeros((63, 63)), (2.0, 2.5), 0.0), new, atol=1e-9)


def test_the_difference_keeps_the_flux() -> None:
    new = np.zeros((63, 63))
    new[31, 31] = 500.0
    for fwhm in (1.6, 2.3, 4.0):
        found = proper_difference(new, np.zeros((63, 63)), (fwhm, 2.3), 0.4)
        assert found.sum() == pytest.approx(500.0)


def test_a_science_image_sharper_than_its_template_is_blurred_and_a_duller_one_is_not() -> None:
    def noise(fwhm: float) -> np.ndarray:
        return drawn(lambda rng: proper_difference(rng.standard_normal((63, 63)), np.zeros((63, 63)), (fwhm, 2.4), 0.4))

    assert correlation(noise(1.6), 1, 0) > 0.05
    assert abs(correlation(noise(4.0), 1, 0)) < 0.02

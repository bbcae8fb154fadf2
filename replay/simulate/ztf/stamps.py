"""The three images of an alert: science, template, difference.

The science image is the sky at the visit; the template the same sky without the transient, sharper
or not, much deeper, brought to the science image's zero point and background (as in ZTF's packets,
whose medians agree); the difference is what both do not show alike, filtered as the survey's
subtraction filters (:mod:`.subtraction`). Where the source faded, ZTF ships template less
science, so that the source is positive there too; ``isdiffpos`` tells which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf import defects
from fulgor.replay.simulate.ztf.objects import SkyObject
from fulgor.replay.simulate.ztf.psf import PSF, render_aureoles, render_galaxy, render_stars, trail
from fulgor.replay.simulate.ztf.sky import COLUMNS, HALF, ROWS, SIZE
from fulgor.replay.simulate.ztf.subtraction import proper_difference, readout_noise, resampled_noise

__all__ = ["Images", "render"]

Image = NDArray[np.float64]

_GAIN = 6.2  # electrons per count
_ASTROMETRY = 0.12  # pixels by which a stated position misses the source
_POINTLIKE = 21.2  # galaxies fainter than this (r) are too small to be told from points
_COLOUR = (0.6, 0.0)  # of bright stars against r
_FULL_WELL = 42_000.0  # counts
_MASKED = 0.105  # share of alerts with masked pixels that no bright star explains
_UNFILLED = 0.009  # share of templates with a part that no exposure covered
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class Images:
    """The stamps of one alert, uncut.

    Parameters
    ----------
    science, template, difference : ndarray (63, 63)
        Counts; NaN where masked. The difference is always science less template here.
    psf : PSF
        The science image's profile.
    x, y : float
        Where the source lies, pixels from the stamp's corner.
    inside : tuple of slice
        Rows and columns that lie on the detector.
    channel_x, channel_y : float
        Position on the readout channel, counted from 1.
    """

    science: Image
    template: Image
    difference: Image
    psf: PSF
    x: float
    y: float
    inside: tuple[slice, slice]
    channel_x: float
    channel_y: float


def render(rng: np.random.Generator, target: SkyObject, visit: int) -> Images:
    """Render the stamps of one visit.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance: noise, dither, defects.
    target : SkyObject
        The object.
    visit : int
        Index into its visits.
    """
    channel_x = float(np.clip(target.place.x + rng.uniform(-6.0, 6.0), 10.3, COLUMNS - 10.3))
    channel_y = float(np.clip(target.place.y + rng.uniform(-6.0, 6.0), 10.3, ROWS - 10.3))
    off_x, off_y = rng.normal(0.0, _ASTROMETRY, 2)
    x = HALF + channel_x - round(channel_x) + float(off_x)
    y = HALF + channel_y - round(channel_y) + float(off_y)
    psf = PSF(float(target.visits.fwhm[visit]), float(rng.lognormal(0.0, 0.04)))
    quiet, deep = _quiet_sky(target, visit, psf, x, y)
    change = _change(target, visit, psf, x, y)
    science, template, difference = _expose(rng, target, visit, quiet, deep, change)
    _spoil(rng, target, visit, (science, template, difference), (x, y))
    return Images(science, template, difference, psf, x, y, defects.overlap(channel_x, channel_y), channel_x, channel_y)


def _quiet_sky(target: SkyObject, visit: int, psf: PSF, x: float, y: float) -> tuple[Image, Image]:
    """Return the template's sources in counts: as sharp as the science image, as sharp as the template."""
    band = int(target.visits.fid[visit]) - 1
    scale = 10.0 ** (0.4 * target.visits.zero_point[visit])
    scene, own = target.scene, PSF(target.template_fwhm[band])
    extended = [galaxy for galaxy in scene.galaxies if galaxy.magnitudes[1] < _POINTLIKE]
    points = [(one.x, one.y, one.magnitudes[band]) for one in scene.galaxies if one.magnitudes[1] >= _POINTLIKE]
    small = np.array(points).reshape(-1, 3).T
    columns, rows = x + np.concatenate([scene.x, small[0], [0.0]]), y + np.concatenate([scene.y, small[1], [0.0]])
    magnitudes = np.concatenate([scene.magnitudes[band], small[2]])
    counts = scale * np.append(10.0 ** (-0.4 * magnitudes), target.template_light[band])
    images = []
    far_x, far_y, r = scene.aureoles
    aureoles = render_aureoles(far_x + x, far_y + y, scale * 10.0 ** (-0.4 * (r + _COLOUR[band])), SIZE)
    for profile in (psf, own):
        image = aureoles + render_stars(profile, columns, rows, counts, SIZE)
        for galaxy in extended:
            image += render_galaxy(
                profile,
                galaxy.x + x,
                galaxy.y + y,
                scale * 10.0 ** (-0.4 * galaxy.magnitudes[band]),
                radius=galaxy.radius,
                axis_ratio=galaxy.axis_ratio,
                angle=galaxy.angle,
                index=galaxy.index,
                size=SIZE,
            )
        images.append(image)
    return images[0], images[1]


def _change(target: SkyObject, visit: int, psf: PSF, x: float, y: float) -> Image:
    counts = target.curve.change[visit] * 10.0 ** (0.4 * target.visits.zero_point[visit])
    columns, rows = trail(x, y, target.trail_length, target.trail_angle)
    return render_stars(psf, columns, rows, np.full(len(columns), counts / len(columns)), SIZE)


def _expose(
    rng: np.random.Generator, target: SkyObject, visit: int, quiet: Image, deep: Image, change: Image
) -> tuple[Image, Image, Image]:
    band = int(target.visits.fid[visit]) - 1
    sky, noise = float(target.visits.sky[visit]), float(target.visits.noise[visit])
    dimming = 10.0 ** (0.4 * (target.visits.zero_point[visit] - 26.2))
    depth = target.template_noise[band] * dimming
    seen = quiet + change
    grain = readout_noise(rng, noise) * np.sqrt(noise**2 + np.maximum(seen, 0.0) / _GAIN)
    template_grain = _template_noise(target, visit, depth)
    residual = _residual(rng, target, quiet)
    science = np.minimum(sky + seen + grain, _FULL_WELL * rng.uniform(0.9, 1.1))
    template = sky + deep + template_grain * np.sqrt(1.0 + np.maximum(deep, 0.0) / _GAIN / 15.0 / max(depth, 0.05) ** 2)
    widths = (float(target.visits.fwhm[visit]), target.template_fwhm[band])
    new = change + grain + residual + np.clip(0.1 * rng.standard_cauchy(), -3.0, 3.0)  # backgrounds match so well
    return science, template, proper_difference(new, template_grain, widths, depth / noise)


def _template_noise(target: SkyObject, visit: int, depth: float) -> Image:
    """Return the template's noise: the same for every visit in a band."""
    return resampled_noise(np.random.default_rng([*target.key, int(target.visits.fid[visit])]), depth)


def _residual(rng: np.random.Generator, target: SkyObject, quiet: Image) -> Image:
    clumsy = (2.5 if target.artefact in ("dipole", "ringing") else 1.0) * float(rng.lognormal(0.1, 0.5))
    shift = rng.normal(0.0, 0.065, 2) * clumsy
    residual = defects.subtraction_residual(quiet, (shift[0], shift[1]), float(rng.normal(0.0, 0.04 * clumsy)))
    if target.artefact == "dipole":  # and the fluxes are not matched either
        residual = residual + quiet * rng.normal(-0.03, 0.05)
    strength = rng.normal(0.0, 0.12 if target.artefact == "ringing" else 0.025)
    return residual + defects.ringing(rng, quiet, float(strength))


def _spoil(
    rng: np.random.Generator,
    target: SkyObject,
    visit: int,
    images: tuple[Image, Image, Image],
    source: tuple[float, float],
) -> None:
    """Add cosmic rays, the artefact that made a bogus alert, and masks; in place."""
    science, template, difference = images
    for _ in range(int(rng.poisson(0.08))):
        x, y = rng.uniform(0, SIZE, 2)
        if max(abs(x - HALF), abs(y - HALF)) > 9:
            ray = defects.cosmic_ray(rng, x, y, float(rng.lognormal(np.log(400.0), 1.0)))
            science += ray
            difference += ray
    _bogus(rng, target, visit, images, source)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if rng.random() < _MASKED:
        mask |= defects.bad_pixels(rng)
    band = int(target.visits.fid[visit]) - 1
    peaks = 10.0 ** (0.4 * (target.visits.zero_point[visit] - target.scene.magnitudes[band])) * 0.12
    mask |= defects.saturated_stars(rng, target.scene, peaks, 2.5 * _FULL_WELL)
    science[mask] = difference[mask] = np.nan
    if rng.random() > 0.06:
        template[mask] = np.nan
    if rng.random() < _UNFILLED:
        template[defects.bad_pixels(rng)] = _LOWEST


def _bogus(
    rng: np.random.Generator,
    target: SkyObject,
    visit: int,
    images: tuple[Image, Image, Image],
    source: tuple[float, float],
) -> None:
    science, template, difference = images
    strength = float(10.0 ** (0.4 * (target.visits.zero_point[visit] - target.artefact_magnitude)))
    if target.artefact == "cosmic ray":
        ray = defects.cosmic_ray(rng, *source, strength)
    elif target.artefact == "bad pixels":
        ray = defects.hot_pixels(rng, -strength)
    elif target.artefact == "template flaw":
        flaw = defects.hot_pixels(rng, strength)
        template += flaw
        difference -= defects.filtered(flaw)
        return
    else:
        return
    science += ray
    difference += defects.filtered(ray)

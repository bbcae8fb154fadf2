"""Brightness against time, class by class.

Every function returns the change of flux against the template, in units where a source of magnitude
m has flux ``10 ** (-0.4 m)``, for each visit. The shapes are textbook ones: supernovae rise and fade
exponentially with a plateau for type II (Villar et al. 2019, ApJ 884, 83), pulsators are sawtooths,
eclipsing binaries dip, active nuclei walk at random with a restoring force (MacLeod et al. 2010,
ApJ 721, 1014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "active_nucleus", "flux", "magnitude", "supernova", "variable_star"]

Array = NDArray[np.float64]
Bands = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Change of flux at each visit and what the template holds of it.

    Parameters
    ----------
    change : ndarray (n,)
        Flux minus the template's flux.
    template : tuple of float
        Flux of the variable source in the template, in g and r.
    kind : str
        Which physics drew it.
    """

    change: Array
    template: tuple[float, float]
    kind: str


def flux(magnitude: Array | float) -> Array:
    """Return ``10 ** (-0.4 m)``."""
    return np.asarray(10.0 ** (-0.4 * np.asarray(magnitude)))


def magnitude(flux: Array | float) -> Array:
    """Return ``-2.5 log10(flux)``."""
    return np.asarray(-2.5 * np.log10(flux))


def _by_band(pair: tuple[float, float], fid: Bands) -> Array:
    return np.where(fid == 1, pair[0], pair[1])


def supernova(rng: np.random.Generator, jd: Array, fid: Bands, first: float, peak: float) -> Curve:
    """Draw a supernova that is absent from the template.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    jd, fid : ndarray (n,)
        The visits.
    first : float
        Julian date of the explosion.
    peak : float
        Magnitude in r at maximum.
    """
    kind = str(rng.choice(["Ia", "Ibc", "II"], p=[0.7, 0.08, 0.22]))
    rise = rng.uniform(2.5, 5.0) if kind != "II" else rng.uniform(1.5, 3.5)
    fall = {"Ia": rng.uniform(14, 20), "Ibc": rng.uniform(11, 18), "II": rng.uniform(25, 45)}[kind]
    plateau = rng.uniform(60, 110) if kind == "II" else rng.uniform(6, 12)
    slope = rng.uniform(0.001, 0.006) if kind == "II" else rng.uniform(0.0, 0.01)
    shape = {
        1: _villar(jd - first, rise, fall * 0.8, plateau * 0.8, slope * 1.6),
        2: _villar(jd - first, rise * 1.15, fall, plateau, slope),
    }
    colour = rng.normal(-0.05 if kind != "Ibc" else 0.25, 0.15)
    height = flux(peak + np.where(fid == 1, colour, 0.0))
    return Curve(height * np.where(fid == 1, shape[1], shape[2]), (0.0, 0.0), kind)


def _villar(age: Array, rise: float, fall: float, plateau: float, slope: float) -> Array:
    start = age - 4.0 * rise
    on_plateau = 1.0 - slope * np.clip(start, 0.0, plateau)
    fading = np.exp(-np.clip(start - plateau, 0.0, None) / fall)
    with np.errstate(over="ignore"):
        turned_on = 1.0 / (1.0 + np.exp(-start / rise))
    return np.where(age > 0, turned_on * on_plateau * fading, 0.0)


def variable_star(rng: np.random.Generator, jd: Array, fid: Bands, brightness: float) -> Curve:
    """Draw a variable star; the template holds its mean light.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    jd, fid : ndarray (n,)
        The visits.
    brightness : float
        Its magnitude in r when the template was taken.
    """
    kind = str(rng.choice(["pulsator", "eclipsing", "long", "irregular", "cataclysmic"], p=[0.3, 0.25, 0.2, 0.15, 0.1]))
    colour = {"long": rng.uniform(0.9, 1.8), "cataclysmic": rng.normal(0.1, 0.2)}.get(kind, rng.normal(0.5, 0.25))
    template = (float(flux(brightness + colour)), float(flux(brightness)))
    change = {"pulsator": _pulsator, "eclipsing": _eclipsing, "long": _long_period}.get(kind)
    if kind == "cataclysmic":
        delta = -rng.uniform(2.0, 5.5) * _outbursts(rng, jd)
    elif kind == "irregular":
        delta = _random_walk(rng, jd, rng.uniform(0.1, 0.4), rng.uniform(5, 60))
    else:
        delta = change(rng, jd)  # type: ignore[misc]
    delta = delta * np.where(fid == 1, rng.uniform(1.0, 1.4), 1.0) + rng.normal(0.0, 0.08)
    return Curve(_by_band(template, fid) * (flux(delta) - 1.0), template, kind)


def _pulsator(rng: np.random.Generator, jd: Array) -> Array:
    phase = (jd / rng.uniform(0.25, 0.9) + rng.random()) % 1.0
    rise = rng.uniform(0.12, 0.3)
    saw = np.where(phase < rise, 1.0 - phase / rise, (phase - rise) / (1.0 - rise))
    return rng.uniform(0.25, 1.1) * (saw - 0.5)


def _eclipsing(rng: np.random.Generator, jd: Array) -> Array:
    phase = (jd / rng.lognormal(np.log(0.8), 0.9) + rng.random()) % 1.0
    width = rng.uniform(0.02, 0.09)
    deep, shallow = rng.uniform(0.2, 1.2), rng.uniform(0.05, 0.3)
    first = np.exp(-0.5 * ((phase - 0.25) / width) ** 2)
    second = np.exp(-0.5 * ((phase - 0.75) / width) ** 2)
    return deep * first + shallow * second - 0.08 * np.cos(4.0 * np.pi * phase) - 0.1


def _long_period(rng: np.random.Generator, jd: Array) -> Array:
    period = rng.uniform(90.0, 450.0)
    return rng.uniform(0.2, 1.6) * np.cos(2.0 * np.pi * (jd / period + rng.random())) + rng.normal(0.0, 0.05, len(jd))


def _outbursts(rng: np.random.Generator, jd: Array) -> Array:
    interval, length = rng.uniform(20.0, 90.0), rng.uniform(4.0, 14.0)
    age = (jd + rng.uniform(0.0, interval)) % interval
    return np.where(age < 1.0, age, np.exp(-np.clip(age - length, 0.0, None) / 1.5))


def active_nucleus(rng: np.random.Generator, jd: Array, fid: Bands, brightness: float) -> Curve:
    """Draw an active nucleus: a damped random walk about the brightness in the template.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    jd, fid : ndarray (n,)
        The visits.
    brightness : float
        Magnitude of the nucleus in r when the template was taken.
    """
    template = (float(flux(brightness + rng.normal(0.25, 0.2))), float(flux(brightness)))
    since = rng.normal(0.0, rng.uniform(0.12, 0.35))  # how far it has wandered since the template was taken
    delta = since + _random_walk(rng, jd, rng.uniform(0.06, 0.25), rng.lognormal(np.log(150.0), 0.7))
    delta = delta * np.where(fid == 1, 1.15, 1.0)
    return Curve(_by_band(template, fid) * (flux(delta) - 1.0), template, "walk")


def _random_walk(rng: np.random.Generator, jd: Array, sigma: float, tau: float) -> Array:
    """Return an Ornstein-Uhlenbeck process of standard deviation sigma and time scale tau (days)."""
    values = np.empty(len(jd))
    noise = rng.standard_normal(len(jd))
    keep = np.exp(-np.diff(jd, prepend=jd[:1] - 50.0 * tau) / tau)
    last = 0.0
    for i, (rho, kick) in enumerate(zip(keep, noise, strict=True)):
        last = rho * last + sigma * np.sqrt(1.0 - rho * rho) * kick
        values[i] = last
    return values

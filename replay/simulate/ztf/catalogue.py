"""What the catalogues say about a position: Pan-STARRS, Gaia, and ZTF's own templates.

All of it follows from the scene: the nearest sources, their magnitudes and how star-like they look.
Faint sources are hard to tell apart, and bright ones saturate Pan-STARRS, so the scores overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf.sky import PIXEL, Place, Scene

__all__ = ["MISSING", "Neighbours", "find_neighbours", "gaia", "panstarrs", "reference_source"]

MISSING = -999.0
_PANSTARRS_RADIUS = 30.0  # arcseconds
_PANSTARRS_FAINTEST = 22.1
_COMPLETE = 0.97
_REFERENCE_FAINTEST = 23.2
_GAIA_RADIUS = 90.0
_GAIA_FAINTEST = 20.7
_GAIA_BRIGHT = 14.0

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The sources around a target, nearest first; each field has shape (N,), magnitudes (2, N).

    Parameters
    ----------
    x, y, distance : ndarray
        Offset in pixels; distance in arcseconds.
    magnitudes : ndarray
        g and r.
    star : ndarray of bool
        Whether it is a point source.
    """

    x: Array
    y: Array
    distance: Array
    magnitudes: Array
    star: NDArray[np.bool_]

    def brighter(self, band: int, limit: float) -> NDArray[np.int64]:
        """Return the indices of those brighter than a limit in a band (0 g, 1 r)."""
        return np.flatnonzero(self.magnitudes[band] < limit)


def find_neighbours(scene: Scene) -> Neighbours:
    """List a scene's sources, merging what no catalogue separates (a nucleus and its galaxy)."""
    galaxies = scene.galaxies
    x = np.concatenate([scene.x, [galaxy.x for galaxy in galaxies]])
    y = np.concatenate([scene.y, [galaxy.y for galaxy in galaxies]])
    extended = np.array([galaxy.magnitudes for galaxy in galaxies]).reshape(-1, 2).T
    magnitudes = np.concatenate([scene.magnitudes, extended], axis=1)
    star = np.arange(len(x)) < len(scene.x)
    if galaxies and len(scene.x) and np.hypot(x[0] - galaxies[0].x, y[0] - galaxies[0].y) < 1.0:
        host = len(scene.x)
        both = 10.0 ** (-0.4 * magnitudes[:, 0]) + 10.0 ** (-0.4 * magnitudes[:, host])
        magnitudes[:, 0] = -2.5 * np.log10(both)
        magnitudes[:, host] = 99.0
        star[0] = False
    order = np.argsort(np.hypot(x, y))
    distance = np.hypot(x, y)[order] * PIXEL
    return Neighbours(x[order], y[order], distance, magnitudes[:, order], star[order])


def panstarrs(rng: np.random.Generator, near: Neighbours) -> dict[str, Any]:
    """Return the fields of the three nearest Pan-STARRS sources and their number within 30 arcseconds."""
    listed = near.brighter(1, _PANSTARRS_FAINTEST)
    found = [i for i in listed if near.distance[i] < _PANSTARRS_RADIUS and rng.random() < _COMPLETE]
    values: dict[str, Any] = {"nmtchps": len(found)}
    for rank in (1, 2, 3):
        if rank > len(found):
            values |= _absent(rank)
            continue
        index = found[rank - 1]
        g, r = near.magnitudes[:, index] + rng.normal(0.0, 0.03, 2)
        red = (g - r) * rng.uniform(0.35, 0.6)
        bands = {"sgmag": g, "srmag": r, "simag": r - red, "szmag": r - 1.6 * red}
        for name, value in bands.items():
            unseen = value > 21.0 and rng.random() < 0.3
            values[f"{name}{rank}"] = MISSING if unseen else round(float(value), 4)
        values[f"sgscore{rank}"] = _star_score(rng, bool(near.star[index]), float(r))
        values[f"distpsnr{rank}"] = float(np.hypot(near.distance[index], _offset(rng)))
        values[f"objectidps{rank}"] = int(rng.integers(70_000_000_000_000_000, 210_000_000_000_000_000))
    return values


def _offset(rng: np.random.Generator) -> float:
    """Draw arcseconds between two catalogues' positions of one source: moved, blended and faint ones stray."""
    return float(rng.rayleigh(0.19 * rng.lognormal(0.0, 0.6)))


def _absent(rank: int) -> dict[str, Any]:
    names = ("sgmag", "srmag", "simag", "szmag", "sgscore", "distpsnr")
    return {**{f"{name}{rank}": MISSING for name in names}, f"objectidps{rank}": None}


def _star_score(rng: np.random.Generator, star: bool, r: float) -> float:
    confusion = np.clip((r - 18.5) / 3.5, 0.03, 1.0)
    if rng.random() < 0.04 + 0.22 * confusion + (0.3 if r < 13.5 else 0.0):
        return 0.5  # no classification
    if rng.random() < 0.4 * confusion:
        return float(rng.random())
    wrong = float(rng.beta(0.5, 20.0 - 14.0 * confusion))
    return 1.0 - wrong if star else wrong


def reference_source(rng: np.random.Generator, near: Neighbours, place: Place, band: int) -> dict[str, float]:
    """Return the fields of the nearest source in the template (band 0 g, 1 r)."""
    found = near.brighter(band, _REFERENCE_FAINTEST)
    if len(found) == 0:
        return dict.fromkeys(("distnr", "magnr", "sigmagnr", "chinr", "sharpnr", "ranr", "decnr"), MISSING)
    index = found[0]
    magnitude = float(near.magnitudes[band, index])
    faint = magnitude > 21.5
    if near.star[index] or faint:
        chi, sharp = rng.lognormal(np.log(0.66), 0.4), rng.normal(-0.025, 0.035)
    else:
        chi, sharp = rng.lognormal(np.log(2.2), 0.65), rng.gamma(1.5, 0.13)
    error = float(np.hypot(0.011, 0.03 * 10.0 ** (0.35 * (magnitude - 20.0))) * rng.lognormal(0.0, 0.2))
    return {
        "distnr": float(np.hypot(near.distance[index], _offset(rng))),
        "magnr": round(magnitude + float(rng.normal(0.0, 0.02)), 3),
        "sigmagnr": round(min(error, 0.36), 3),
        "chinr": round(float(np.clip(chi, 0.15, 9.2)), 3),
        "sharpnr": round(float(sharp + (rng.normal(-0.15, 0.22) if faint else 0.0)), 3),
        "ranr": place.ra + float(near.x[index]) * PIXEL / 3600.0 / np.cos(np.radians(place.dec)),
        "decnr": place.dec + float(near.y[index]) * PIXEL / 3600.0,
    }


def gaia(rng: np.random.Generator, near: Neighbours, density: float) -> dict[str, float]:
    """Return distance and magnitude of the nearest Gaia source and of the nearest bright one."""
    stars = [i for i in near.brighter(1, _GAIA_FAINTEST) if near.star[i] or near.distance[i] < 1.0]
    if stars:
        nearest = float(np.hypot(near.distance[stars[0]], _offset(rng)))
        magnitude = float(near.magnitudes[1, stars[0]]) - 0.1
    else:
        nearest = float(np.clip(rng.gamma(2.0, 14.0), 30.0, _GAIA_RADIUS))
        magnitude = float(_GAIA_FAINTEST - rng.exponential(1.6))
    bright = [i for i in near.brighter(1, _GAIA_BRIGHT) if near.star[i]]
    values = {"neargaia": nearest, "maggaia": magnitude, "neargaiabright": MISSING, "maggaiabright": MISSING}
    if bright:
        values |= {
            "neargaiabright": float(near.distance[bright[0]]),
            "maggaiabright": float(near.magnitudes[1, bright[0]]),
        }
    elif rng.random() < 1.0 - np.exp(-density / 25.0):
        values |= {
            "neargaiabright": float(rng.uniform(31.0, 90.0)),
            "maggaiabright": 14.0 - float(rng.exponential(0.7)),
        }
    return values

"""Objects drawn class by class, and which of their visits send alerts.

An object is drawn from its own seed, so it can be drawn again at any time and is the same whatever
else is simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulgor.replay.simulate.ztf.cadence import Nights, Visits, visit
from fulgor.replay.simulate.ztf.lightcurves import Curve, active_nucleus, flux, supernova, variable_star
from fulgor.replay.simulate.ztf.objects import FAINTEST_ERROR, HISTORY_DAYS, SkyObject
from fulgor.replay.simulate.ztf.photometry import stated_error
from fulgor.replay.simulate.ztf.sky import Place, Scene, draw_galaxy, draw_place, draw_scene

__all__ = ["draw_object"]

_ARTEFACTS = ("cosmic ray", "bad pixels", "template flaw", "dipole", "ringing")
_ARTEFACT_SHARES = (0.08, 0.24, 0.22, 0.34, 0.12)
_HELD = 0.18  # share of supernovae that shone when the template was taken


def draw_object(key: tuple[int, ...], label: str, nights: Nights, span: tuple[float, float]) -> SkyObject:
    """Draw an object whose alerts lie within a span of Julian dates.

    Parameters
    ----------
    key : tuple of int
        Seeds: the same key gives the same object.
    label : str
        Its class.
    nights : Nights
        The weather.
    span : tuple of float
        First and last Julian date of its alerts.

    Returns
    -------
    SkyObject
        ``emitted`` may be empty: not everything in the sky is found.
    """
    rng = np.random.default_rng(key)
    begin = float(rng.uniform(*span))
    rate = float(np.clip(rng.lognormal(np.log(0.6), 0.6), 0.15, 7.0))
    end = min(begin + float(rng.uniform(10.0, 35.0)), span[1])
    visits = visit(rng, nights, begin - HISTORY_DAYS, end, rate)
    return _DRAWERS[label](rng, key, visits, begin)


def _build(
    rng: np.random.Generator,
    key: tuple[int, ...],
    label: str,
    visits: Visits,
    begin: float,
    *,
    place: Place,
    scene: Scene,
    curve: Curve,
    longest: float,
    recurrent: float = 0.0,
    **other: Any,
) -> SkyObject:
    """Decide what is detected and which run of detections sends alerts.

    ``longest`` is the mean length of a run, ``recurrent`` scales how often it was found in past seasons.
    """
    detected = _detections(rng, visits, curve)
    candidates = np.flatnonzero(detected & (visits.jd >= begin))
    run = 1 + int(rng.geometric(1.0 / longest)) if longest > 1 else 1
    width = np.clip(rng.lognormal(np.log(2.2), 0.08, 2), 1.75, 4.0)
    depth = np.array([0.95, 1.62]) * rng.lognormal(0.0, 0.22, 2)
    # Some fields are new, most have been covered for years.
    covered = int(rng.lognormal(np.log(90.0), 0.7) if rng.random() < 0.3 else rng.lognormal(np.log(1300.0), 0.6)) + 10
    known = {"past_detections": 0, "past_visits": covered, "first_seen": 0.0}
    if recurrent > 0:
        known["past_detections"] = int(covered * rng.beta(0.9, 1.9) * recurrent)
        known["first_seen"] = begin - float(rng.uniform(60.0, 1800.0))
    return SkyObject(
        key=key,
        label=label,
        place=place,
        scene=scene,
        curve=curve,
        visits=visits,
        emitted=candidates[:run],
        detected=detected,
        template_fwhm=(float(width[0]), float(width[1])),
        template_noise=(float(depth[0]), float(depth[1])),
        **{**known, **other},
    )


def _detections(rng: np.random.Generator, visits: Visits, curve: Curve) -> NDArray[np.bool_]:
    change = np.abs(curve.change)
    quiet = np.where(visits.fid == 1, curve.template[0], curve.template[1])
    error = stated_error(change, quiet, visits.limit)
    noisy = error * rng.lognormal(0.06, 0.1, len(visits))
    return (noisy < FAINTEST_ERROR) & (rng.random(len(visits)) < 0.97)


def _supernova(rng: np.random.Generator, key: tuple[int, ...], visits: Visits, begin: float) -> SkyObject:
    place = draw_place(rng, avoid_plane=12.0, low_plane=0.0)
    peak = float(np.clip(19.35 - rng.exponential(0.8), 14.5, None))
    curve = supernova(rng, visits.jd, visits.fid, begin - rng.uniform(0.0, 60.0), peak)
    scene = draw_scene(rng, place.latitude)
    if rng.random() > 0.06:  # the rest have no host that shows
        host = draw_galaxy(rng, 0.0, 0.0, float(np.clip(peak + rng.normal(0.6, 1.4), 14.0, 23.5)))
        nuclear = 0.1 if rng.random() < 0.2 else 1.0
        distance = min(nuclear * host.radius * float(rng.gamma(1.6, 1.1)), 18.0)
        angle = rng.uniform(0.0, 2.0 * np.pi)
        scene = scene.with_host(replace(host, x=float(distance * np.cos(angle)), y=float(distance * np.sin(angle))))
    held = (0.0, 0.0)
    if rng.random() < _HELD:
        g, r = flux(peak + rng.uniform(0.0, 1.4) + rng.normal(0.0, 0.2, 2)).tolist()
        held = (g, r)
        curve = Curve(curve.change - np.where(visits.fid == 1, g, r), held, curve.kind)
    return _build(
        rng, key, "SN", visits, begin,
        place=place, scene=scene, curve=curve, longest=6.0, recurrent=0.1 if any(held) else 0.0, template_light=held,
    )  # fmt: skip


def _variable(rng: np.random.Generator, key: tuple[int, ...], visits: Visits, begin: float) -> SkyObject:
    place = draw_place(rng, avoid_plane=0.0, low_plane=0.65)
    brightness = float(np.clip(rng.normal(16.3, 1.65), 12.3, 21.0))
    curve = variable_star(rng, visits.jd, visits.fid, brightness)
    if curve.kind == "cataclysmic":  # faint between outbursts, as good as absent
        faint = float(flux(rng.uniform(1.0, 3.5)))
        curve = Curve(curve.change * faint, (curve.template[0] * faint, curve.template[1] * faint), curve.kind)
    g, r = (-2.5 * np.log10(value) for value in curve.template)
    scene = draw_scene(rng, place.latitude).with_star((float(g), float(r)))
    return _build(
        rng,
        key,
        "VS",
        visits,
        begin,
        place=place,
        scene=scene,
        curve=curve,
        longest=4.0,
        recurrent=float(rng.random() < 0.85),
    )


def _nucleus(rng: np.random.Generator, key: tuple[int, ...], visits: Visits, begin: float) -> SkyObject:
    place = draw_place(rng, avoid_plane=12.0, low_plane=0.0)
    brightness = float(np.clip(rng.normal(17.9, 0.9), 14.5, 20.5))
    curve = active_nucleus(rng, visits.jd, visits.fid, brightness)
    g, r = (-2.5 * np.log10(value) for value in curve.template)
    scene = draw_scene(rng, place.latitude).with_star((float(g), float(r)))
    if rng.random() < 0.6:  # the rest are quasars that outshine their galaxy
        host = draw_galaxy(rng, 0.0, 0.0, brightness + float(rng.normal(0.2, 1.0)))
        scene = scene.with_host(replace(host, x=float(rng.normal(0.0, 0.08)), y=float(rng.normal(0.0, 0.08))))
    return _build(
        rng,
        key,
        "AGN",
        visits,
        begin,
        place=place,
        scene=scene,
        curve=curve,
        longest=4.0,
        recurrent=float(rng.random() < 0.85),
    )


def _moving(rng: np.random.Generator, key: tuple[int, ...], visits: Visits, begin: float) -> SkyObject:
    place = draw_place(rng, avoid_plane=10.0, low_plane=0.0)
    brightness = float(np.clip(20.4 - rng.exponential(1.15), 14.0, None))
    here = np.zeros(len(visits), dtype=bool)
    later = np.flatnonzero(visits.jd >= begin)
    here[later[:1]] = True  # it passes once: the other visits see an empty sky
    light = flux(brightness + np.where(visits.fid == 1, rng.normal(0.5, 0.1), 0.0))
    curve = Curve(np.where(here, light, 0.0), (0.0, 0.0), "moving")
    fast = rng.random() < 0.06
    return _build(
        rng, key, "asteroid", visits, begin,
        place=place, scene=draw_scene(rng, place.latitude), curve=curve, longest=1.0,
        trail_length=float(rng.gamma(2.0, 2.2) if fast else rng.gamma(4.0, 0.06)),
        trail_angle=float(rng.uniform(0.0, np.pi)),
        predicted=bool(rng.random() < 0.85),
    )  # fmt: skip


def _bogus(rng: np.random.Generator, key: tuple[int, ...], visits: Visits, begin: float) -> SkyObject:
    place = draw_place(rng, avoid_plane=0.0, low_plane=0.4)
    artefact = str(rng.choice(_ARTEFACTS, p=_ARTEFACT_SHARES))
    scene = draw_scene(rng, place.latitude)
    if artefact in ("dipole", "ringing"):
        r = float(np.clip(rng.normal(14.3, 1.2), 11.5, 17.0))
        off = rng.normal(0.0, 0.5, 2)
        scene = scene.with_star((r + float(rng.normal(0.6, 0.3)), r), float(off[0]), float(off[1]))
    here = np.zeros(len(visits), dtype=bool)
    later = np.flatnonzero(visits.jd >= begin)
    here[later[: 1 + int(rng.random() < 0.15)]] = True
    cloud = np.where(here & (rng.random() < 0.65), min(0.2 + rng.exponential(2.0), 5.0), 0.0)
    visits = replace(visits, zero_point=visits.zero_point - cloud, limit=visits.limit - cloud)
    curve = Curve(np.zeros(len(visits)), (0.0, 0.0), artefact)
    drawn = _build(
        rng, key, "bogus", visits, begin,
        place=place, scene=scene, curve=curve, longest=1.0, recurrent=0.05 * float(rng.random() < 0.25),
        artefact=artefact,
        artefact_magnitude=float(np.median(visits.limit) - rng.exponential(2.0) - 0.9) if len(visits) else 99.0,
    )  # fmt: skip
    return replace(drawn, detected=here, emitted=np.flatnonzero(here))


_DRAWERS: dict[str, Callable[[np.random.Generator, tuple[int, ...], Visits, float], SkyObject]] = {
    "AGN": _nucleus,
    "SN": _supernova,
    "VS": _variable,
    "asteroid": _moving,
    "bogus": _bogus,
}

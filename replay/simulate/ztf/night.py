"""From classes and counts to a stream of alerts in time order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fulgor.errors import SettingsError
from fulgor.replay.simulate.ztf.assembly import Target, assemble
from fulgor.replay.simulate.ztf.cadence import Nights
from fulgor.replay.simulate.ztf.naming import process_id
from fulgor.replay.simulate.ztf.objects import CLASSES, HISTORY_DAYS
from fulgor.replay.simulate.ztf.population import draw_object

__all__ = ["DEFAULT_MIX", "DEFAULT_NIGHTS", "DEFAULT_START", "SimulatedAlert", "simulate"]

DEFAULT_START = 2_460_310.5  # 2024-01-01
DEFAULT_NIGHTS = 60
DEFAULT_MIX: Mapping[str, float] = {"AGN": 0.15, "SN": 0.15, "VS": 0.35, "asteroid": 0.2, "bogus": 0.15}
_MOST_NIGHTS = 3660
_FIRST_JD, _LAST_JD = 2_448_600.0, 2_466_900.0  # 1991 to 2042: ids count days since 2017 in 64 bits, by 10^15
_NUMBERS = 1000  # detections that an image can number
_USUAL_NUMBERS = 60
_DULL = 2000  # objects in a row without an alert: the season is too short or always clouded


@dataclass(frozen=True, slots=True)
class SimulatedAlert:
    """One alert and the truth behind it.

    Parameters
    ----------
    record : dict
        A ZTF 4.02 record.
    label : str
        AGN, SN, VS, asteroid or bogus.
    object_id : str
        The record's objectId.
    jd : float
        The record's Julian date.
    """

    record: dict[str, Any]
    label: str
    object_id: str
    jd: float


def simulate(
    count: int,
    seed: int,
    *,
    start: float = DEFAULT_START,
    nights: int = DEFAULT_NIGHTS,
    mix: Mapping[str, float] = DEFAULT_MIX,
) -> Iterator[SimulatedAlert]:
    """Simulate alerts in time order.

    The same arguments give the same bytes, whatever the machine's load or the order of calls.

    Parameters
    ----------
    count : int
        Number of alerts.
    seed : int
        Seed of all chance, not negative.
    start : float
        Julian date of the first alert at the earliest.
    nights : int
        All alerts lie within this many days.
    mix : mapping of str to float
        Shares of the alerts by class; they need not add up to one.

    Yields
    ------
    SimulatedAlert

    Raises
    ------
    SettingsError
        A parameter is out of range, or the season is too short to find anything.
    """
    _check(count, seed, start, nights, mix)
    span = (start, start + nights)
    weather = Nights.draw(np.random.default_rng([seed, 0]), start - HISTORY_DAYS - 1.0, span[1] + 1.0)
    plan = _plan(count, seed, weather, span, mix)
    return _render(plan, seed, weather, span)


def _check(count: int, seed: int, start: float, nights: int, mix: Mapping[str, float]) -> None:
    if count < 0 or seed < 0:
        raise SettingsError(f"count {count} and seed {seed} must not be negative")
    if not 1 <= nights <= _MOST_NIGHTS:
        raise SettingsError(f"nights is {nights}: give 1 to {_MOST_NIGHTS}")
    if not _FIRST_JD <= start <= _LAST_JD - nights:
        last = _LAST_JD - nights
        raise SettingsError(f"start is {start}: give a Julian date from {_FIRST_JD:.0f} to {last:.0f}")
    unknown = set(mix) - set(CLASSES)
    if unknown or not sum(mix.values()) > 0 or min(mix.values()) < 0:
        raise SettingsError(f"the mix {dict(mix)} must give shares (0 or more) of the classes {', '.join(CLASSES)}")


@dataclass(frozen=True, slots=True)
class _Slot:
    """One alert to be: when, of which object, which visit, its number in the image, whether the object's last."""

    jd: float
    serial: int
    label: str
    visit: int
    number: int
    last: bool


def _plan(count: int, seed: int, weather: Nights, span: tuple[float, float], mix: Mapping[str, float]) -> list[_Slot]:
    """Draw objects, each time of the class that lags most behind its share, until there are enough alerts."""
    slots: list[_Slot] = []
    wanted = {label: count * share / sum(mix.values()) for label, share in mix.items() if share > 0}
    have = dict.fromkeys(wanted, 0)
    taken: set[tuple[int, int]] = set()
    serial = dull = 0
    while len(slots) < count:
        label = max(wanted, key=lambda name: wanted[name] - have[name])
        drawn = draw_object((seed, 1, serial), label, weather, span)
        emitted = drawn.emitted[: count - len(slots)].tolist()
        for visit in emitted:
            jd = float(drawn.visits.jd[visit])
            number = _free_number(taken, process_id(jd, drawn.place.rcid), serial)
            slots.append(_Slot(jd, serial, label, visit, number, visit == emitted[-1]))
        have[label] += len(emitted)
        serial += 1
        dull = 0 if emitted else dull + 1
        if dull > _DULL:
            raise SettingsError(f"{dull} objects in a row gave no alert: simulate more nights, or another seed")
    return sorted(slots, key=lambda slot: (slot.jd, slot.serial))


def _free_number(taken: set[tuple[int, int]], pid: int, serial: int) -> int:
    number = serial % _USUAL_NUMBERS
    while (pid, number) in taken:
        number = (number + 1) % _NUMBERS
    taken.add((pid, number))
    return number


def _render(plan: list[_Slot], seed: int, weather: Nights, span: tuple[float, float]) -> Iterator[SimulatedAlert]:
    awake: dict[int, Target] = {}  # objects between their first alert and their last
    for slot in plan:
        target = awake.get(slot.serial)
        if target is None:
            drawn = draw_object((seed, 1, slot.serial), slot.label, weather, span)
            target = awake[slot.serial] = Target.of(drawn, seed * 1_000_003 + slot.serial)
        record = assemble(target, slot.visit, slot.number)
        if slot.last:
            del awake[slot.serial]
        yield SimulatedAlert(record, slot.label, record["objectId"], slot.jd)

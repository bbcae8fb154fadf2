"""When and where lightning strikes: storms, flashes, strokes, seeded block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fulgor.replay.simulate.leela.sources import Discharge, Kind

__all__ = ["BLOCK_S", "START_NS", "flashes"]

START_NS = 1_767_225_600_000_000_000  # 2026-01-01
BLOCK_S = 10
# Flashes begin early enough in a block to end in it, and their waves to arrive.
_LAST_START_S = BLOCK_S - 2.0
_NS = 1e9
# Over a sea and land the network looks at, degrees.
_LATITUDES, _LONGITUDES = (38.0, 60.0), (-12.0, 22.0)
_CELLS = 4
_CELL_SIZE_DEG = 0.4
_NIGHT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Cell:
    lat: float
    lon: float
    night: bool


def flashes(seed: int, block: int, per_second: float) -> list[Discharge]:
    """Return the discharges of one block of `BLOCK_S` seconds in time order.

    Parameters
    ----------
    seed : int
        Of the simulation.
    block : int
        Which block, from 0.
    per_second : float
        Mean number of flashes.
    """
    random = np.random.default_rng([seed, 1, block])
    cells = [
        _Cell(random.uniform(*_LATITUDES), random.uniform(*_LONGITUDES), bool(random.random() < _NIGHT_SHARE))
        for _ in range(_CELLS)
    ]
    found: list[Discharge] = []
    for number in range(random.poisson(per_second * _LAST_START_S)):
        cell = cells[random.integers(_CELLS)]
        start = random.uniform(0.0, _LAST_START_S)
        found += _flash(random, cell, f"{block}-{number}", START_NS + round((block * BLOCK_S + start) * _NS))
    return sorted(found, key=lambda discharge: discharge.time_ns)


def _flash(random: np.random.Generator, cell: _Cell, name: str, start_ns: int) -> list[Discharge]:
    lat = cell.lat + random.normal(0, _CELL_SIZE_DEG)
    lon = cell.lon + random.normal(0, _CELL_SIZE_DEG)
    kind = random.choice(["ground", "train", "cloud"], p=[0.5, 0.2, 0.3])
    make = {"ground": _ground, "train": _train, "cloud": _cloud}[str(kind)]
    return make(random, cell, name, start_ns, lat, lon)


def _ground(
    random: np.random.Generator, cell: _Cell, name: str, start_ns: int, lat: float, lon: float
) -> list[Discharge]:
    """Return one to six strokes some tens of ms apart, in one channel or beside it."""
    sign = 1.0 if random.random() < 0.1 else -1.0
    strokes = 1 if sign > 0 else min(1 + random.geometric(0.45), 6)
    at, found = start_ns, []
    for number in range(strokes):
        current = sign * random.lognormal(np.log(22.0 if number == 0 else 13.0), 0.55)
        found.append(_stroke(random, cell, f"{name}-{number}", name, at, lat, lon, current))
        at += round(random.lognormal(np.log(0.06), 0.6) * _NS)
        lat, lon = lat + random.normal(0, 0.01), lon + random.normal(0, 0.01)
    return found


def _train(
    random: np.random.Generator, cell: _Cell, name: str, start_ns: int, lat: float, lon: float
) -> list[Discharge]:
    """Return three to six strokes of one channel within some ms, evenly spaced: one chunk sees several."""
    spacing = random.uniform(0.6e-3, 1.6e-3)
    current = -random.lognormal(np.log(20.0), 0.4)
    found, at = [], start_ns
    for number in range(random.integers(3, 7)):
        each = current * random.uniform(0.6, 1.0)
        found.append(_stroke(random, cell, f"{name}-{number}", name, at, lat, lon, each))
        at += round(spacing * random.uniform(0.85, 1.15) * _NS)
    return found


def _cloud(
    random: np.random.Generator, cell: _Cell, name: str, start_ns: int, lat: float, lon: float
) -> list[Discharge]:
    """Return two to twelve short bipolar pulses in a burst, of either sign."""
    found, at = [], start_ns
    for number in range(random.integers(2, 13)):
        current = random.choice([-1.0, 1.0]) * random.lognormal(np.log(14.0), 0.5)
        found.append(
            Discharge(
                f"{name}-{number}", name, at, lat, lon, Kind.CLOUD, float(current),
                rise_s=random.uniform(1e-6, 3e-6), fall_s=random.uniform(6e-6, 2e-5), channel_m=800.0,
                night=cell.night,
            )
        )  # fmt: skip
        at += round(random.lognormal(np.log(0.7e-3), 0.7) * _NS)
    return found


def _stroke(
    random: np.random.Generator, cell: _Cell, name: str, flash: str, at: int, lat: float, lon: float, current: float
) -> Discharge:
    return Discharge(
        name, flash, at, lat, lon, Kind.STROKE, float(current),
        rise_s=random.uniform(2e-6, 7e-6), fall_s=random.uniform(3e-5, 9e-5),
        channel_m=random.uniform(3e3, 8e3), night=cell.night,
    )  # fmt: skip

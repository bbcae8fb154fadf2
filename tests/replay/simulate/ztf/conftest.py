"""Simulated alerts that several tests look at, and their stamps read back with astropy."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from fulgor.replay.simulate.ztf import SimulatedAlert, simulate

KEYS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def _stamps(record: dict[str, Any]) -> list[np.ndarray]:
    images = []
    for key in KEYS:
        with fits.open(io.BytesIO(gzip.decompress(record[key]["stampData"])), ignore_missing_simple=True) as hdus:
            images.append(np.array(hdus[0].data))
    return images


@pytest.fixture(scope="session")
def alerts() -> list[SimulatedAlert]:
    """Seven hundred alerts of one season, in time order."""
    return list(simulate(700, seed=11))


@pytest.fixture(scope="session")
def stamps() -> Callable[[dict[str, Any]], list[np.ndarray]]:
    """Science, template and difference of a record; read once."""
    known: dict[bytes, list[np.ndarray]] = {}

    def read(record: dict[str, Any]) -> list[np.ndarray]:
        key = record["cutoutScience"]["stampData"]
        if key not in known:
            known[key] = _stamps(record)
        return known[key]

    return read

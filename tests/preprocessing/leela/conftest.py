"""Chunks for tests: made here, or simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fulgor.preprocessing.leela import LeelaChunk
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.records import AvroRecord

INTERVAL_NS = 9142.859755


@pytest.fixture
def record() -> dict[str, Any]:
    """A record of the schema, with noise for samples."""
    samples = np.random.default_rng(0).normal(-300, 30, 1024).round()
    return {
        "site": "Ashby", "node": "SIM01", "timeoffset": 0.0, "starttime": 1_700_000_000_000_000_123,
        "endtime": 1_700_000_000_009_352_000, "rxtime": 1_700_000_003_000_000.0, "smplint": 9.142857e-6,
        "realsmplint": INTERVAL_NS * 1e-9, "numsmpls": 1024, "packetinsec": 3, "energy": 9, "clipped": False,
        "dtype": "<i2", "wvfmdata": samples.astype("<i2").tobytes(),
    }  # fmt: skip


@pytest.fixture
def chunk() -> Callable[..., LeelaChunk]:
    """Make a chunk of samples: ``chunk(samples, interval_ns=...)``."""

    def make(samples: np.ndarray, interval_ns: float = INTERVAL_NS, **fields: Any) -> LeelaChunk:
        values = {
            "site": "Ashby", "node": "SIM01", "starttime": 1_700_000_000_000_000_000, "smplint": interval_ns * 1e-9,
            "dtype": "<f8", "wvfmdata": np.asarray(samples, "<f8").tobytes(), **fields,
        }  # fmt: skip
        return chunk_of(AvroRecord(0, values, b""))

    return make


@pytest.fixture
def wave_packet() -> Callable[..., np.ndarray]:
    """Make a wave packet whose envelope peaks at a sample: ``wave_packet(at, height)``."""

    def make(at: float, height: float, size: int = 1024, width: float = 5.0, cycles: float = 0.09) -> np.ndarray:
        steps = np.arange(size) - at
        return height * np.exp(-0.5 * (steps / width) ** 2) * np.cos(2 * np.pi * cycles * steps)

    return make

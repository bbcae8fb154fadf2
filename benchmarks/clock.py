"""Time as the benchmarks that compare forms and ways take it."""

from __future__ import annotations

import time
from collections.abc import Callable


def clocked(work: Callable[[], object]) -> float:
    """Return seconds of processor time, which a busy machine disturbs less than wall time."""
    began = time.process_time()
    work()
    return time.process_time() - began

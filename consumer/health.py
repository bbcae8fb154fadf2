"""Whether a consumer process works, and whether it is ready: what its end point tells an orchestrator.

*Healthy* is a process that polls and whose threads live; one that is not is best started anew.
*Ready* is one that the group has answered, whose database answered last, and that is not held back;
one that is not may become so by itself, so nothing should be restarted for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from fulgor.consumer.metrics import Metrics

__all__ = ["Answer", "EngineState", "Health"]

# The polling thread may wait for a database while it lets partitions go, 240 s at the most by the settings; at 300 s
# the group gives it up.
_POLL_LIMIT_S = 270.0
_READY_POLL_LIMIT_S = 30.0
_PAUSE_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the two answers, and why not where it is no."""

    ok: bool
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the body of the end point's answer."""
        return {"ok": True} if self.ok else {"ok": False, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the polling thread says of itself about once a second.

    Parameters
    ----------
    joined : bool
        The group counts this process as a member, and it reads what it was given, be it nothing.
    paused : bool
        Partitions are paused by back-pressure.
    """

    joined: bool
    paused: bool


class Health:
    """Keeps what is known of one consumer; told by its polling thread, asked by others.

    Parameters
    ----------
    metrics : Metrics
        Knows whether the database answered last.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lock = Lock()
        self._dead_threads: Callable[[], Sequence[str]] = tuple
        self._polled = clock()
        self._joined = False
        self._paused_since: float | None = None

    def watch(self, dead_threads: Callable[[], Sequence[str]]) -> None:
        """Ask this for the names of threads that ended before their time."""
        self._dead_threads = dead_threads

    def note(self, state: EngineState) -> None:
        """Note that the polling thread lives, and what it says; called on that thread."""
        now = self._clock()
        with self._lock:
            self._polled = now
            self._joined = state.joined
            self._paused_since = (self._paused_since or now) if state.paused else None

    def healthy(self) -> Answer:
        """Tell whether the process polls and no thread of it is dead."""
        if dead := self._dead_threads():
            return Answer(False, f"thread ended: {', '.join(dead)}")
        return self._polls(_POLL_LIMIT_S)

    def ready(self) -> Answer:
        """Tell whether messages that arrive now become rows soon."""
        healthy = self.healthy()
        if not healthy.ok:
            return healthy
        with self._lock:
            joined, paused_since = self._joined, self._paused_since
        if not joined:
            return Answer(False, "not yet a member of the group, or its partitions are not claimed yet")
        if not self._metrics.value("fulgor_database_up"):
            return Answer(False, "the database did not answer last")
        if paused_since is not None and self._clock() - paused_since >= _PAUSE_LIMIT_S:
            return Answer(False, f"paused by back-pressure for {self._clock() - paused_since:.0f} s")
        return self._polls(_READY_POLL_LIMIT_S)

    def _polls(self, limit_s: float) -> Answer:
        with self._lock:
            silence = self._clock() - self._polled
        return Answer(True) if silence < limit_s else Answer(False, f"nothing was polled for {silence:.0f} s")

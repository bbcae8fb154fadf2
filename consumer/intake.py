"""Back-pressure: how many bytes are read and not yet stored, and when to stop reading."""

from __future__ import annotations

from collections import deque
from threading import Lock
from time import monotonic

__all__ = ["Intake"]


class Intake:
    """Bytes in flight between the source and the database.

    Parameters
    ----------
    limit : int
        Bytes at which reading pauses; it resumes at half of it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._held = 0
        self._taken = 0
        self._samples: deque[tuple[float, int]] = deque()
        self.paused = False

    @property
    def held(self) -> int:
        """Bytes in flight."""
        with self._lock:
            return self._held

    def take(self, size: int) -> None:
        """Count a message that was read."""
        with self._lock:
            self._held += size
            self._taken += size

    def give(self, size: int) -> None:
        """Count messages that are done with."""
        with self._lock:
            self._held -= size

    def oldest_age(self) -> float:
        """Return the least age in seconds of the oldest message in flight; call it about once a second.

        Messages leave in about the order in which they came, so bytes tell: no time is kept for each message.
        """
        now = monotonic()
        with self._lock:
            self._samples.append((now, self._taken))
            given = self._taken - self._held
            while self._samples and self._samples[0][1] <= given:
                self._samples.popleft()
            return now - self._samples[0][0] if self._samples else 0.0

    def should_pause(self) -> bool:
        """Tell whether reading has to stop now."""
        return not self.paused and self.held >= self._limit

    def should_resume(self) -> bool:
        """Tell whether reading may go on."""
        return self.paused and self.held <= self._limit // 2

"""Back-pressure: how many bytes are read and not yet stored, and when to stop reading."""

from __future__ import annotations

from threading import Lock

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

    def give(self, size: int) -> None:
        """Count messages that are done with."""
        with self._lock:
            self._held -= size

    def should_pause(self) -> bool:
        """Tell whether reading has to stop now."""
        return not self.paused and self.held >= self._limit

    def should_resume(self) -> bool:
        """Tell whether reading may go on."""
        return self.paused and self.held <= self._limit // 2

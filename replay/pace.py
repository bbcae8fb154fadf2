"""When each message is due: at once, at a fixed rate, or at the archive's own intervals."""

from __future__ import annotations

from typing import Protocol

from fulgor.errors import SettingsError

__all__ = ["AtOnce", "AtRate", "AtSpeed", "Pace", "choose_pace"]


class Pace(Protocol):
    """Gives each message, in order, its time."""

    def due(self, time_ms: int | None) -> float:
        """Return seconds after the start at which the next message is due, never less than before.

        Parameters
        ----------
        time_ms : int or None
            The message's original time, Unix ms.
        """
        ...

    def restart(self) -> None:
        """Begin the archive again: the next message follows the last one at once."""
        ...


class AtOnce:
    """As fast as the broker takes them."""

    def due(self, time_ms: int | None) -> float:  # noqa: ARG002
        """Return 0."""
        return 0.0

    def restart(self) -> None:
        """Change nothing."""


class AtRate:
    """Evenly spaced.

    Parameters
    ----------
    rate : float
        Messages per second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0

    def due(self, time_ms: int | None) -> float:  # noqa: ARG002
        """Return the count of earlier messages over the rate."""
        self._count += 1
        return (self._count - 1) / self._rate

    def restart(self) -> None:
        """Change nothing: the rate goes on."""


class AtSpeed:
    """At the original intervals, shortened by a factor; the archive's order stays.

    A message that is older than one before it, or has no time, is due together with that one.

    Parameters
    ----------
    speed : float
        1 is real time, 60 an hour in a minute.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._last = 0.0
        self._base = 0.0
        self._origin_ms: int | None = None

    def due(self, time_ms: int | None) -> float:
        """Return the time since the first message over the speed."""
        if time_ms is not None:
            if self._origin_ms is None:
                self._origin_ms = time_ms
            self._last = max(self._last, self._base + (time_ms - self._origin_ms) / 1000 / self._speed)
        return self._last

    def restart(self) -> None:
        """Count from the last due time on."""
        self._base = self._last
        self._origin_ms = None


def choose_pace(rate: float | None, speed: float | None) -> Pace:
    """Return the pace that was asked for.

    Raises
    ------
    SettingsError
        Both are given, or one is not positive.
    """
    if rate is not None and speed is not None:
        raise SettingsError("--rate and --speed exclude each other: a fixed rate has no intervals to scale")
    for name, value in (("--rate", rate), ("--speed", speed)):
        if value is not None and not 0 < value < float("inf"):
            raise SettingsError(f"{name} {value}: must be more than 0")
    if rate is not None:
        return AtRate(rate)
    return AtOnce() if speed is None else AtSpeed(speed)

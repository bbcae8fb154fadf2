"""One thing that was looked at, and how a failure becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from fulgor.errors import FulgorError

__all__ = ["Check", "Level", "guarded", "passed", "skipped", "warned"]


class Level(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Parameters
    ----------
    name : str
        What was looked at.
    level : Level
        Whether a consumer can work with it.
    message : str
        What was found, and for a warning or an error what to do.
    exit_code : int
        The error's; 0 for the other levels.
    """

    name: str
    level: Level
    message: str
    exit_code: int = 0


def passed(name: str, message: str) -> Check:
    """Return a check without complaint."""
    return Check(name, Level.OK, message)


def warned(name: str, message: str) -> Check:
    """Return a check that a consumer survives."""
    return Check(name, Level.WARNING, message)


def skipped(names: Iterable[str], why: str) -> list[Check]:
    """Return checks that could not be made."""
    return [warned(name, f"not checked: {why}") for name in names]


def guarded(name: str, work: Callable[[], Check]) -> Check:
    """Run a check; a mistake or an outage that it meets is what it found."""
    try:
        return work()
    except FulgorError as error:
        return Check(name, Level.ERROR, str(error), error.exit_code)

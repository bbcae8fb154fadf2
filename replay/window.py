"""A stretch of time: a night, an hour, from then on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fulgor.errors import SettingsError

__all__ = ["Window", "parse_window"]

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Window:
    """From `start_ms` to before `end_ms`, Unix ms; None is unbounded."""

    start_ms: int | None
    end_ms: int | None

    def __contains__(self, time_ms: int | None) -> bool:
        if time_ms is None:
            return False
        return (self.start_ms is None or self.start_ms <= time_ms) and (self.end_ms is None or time_ms < self.end_ms)

    @property
    def start(self) -> str | None:
        """The start as ISO text; None where there is none."""
        return None if self.start_ms is None else datetime.fromtimestamp(self.start_ms / 1000, UTC).isoformat()

    def __str__(self) -> str:
        ends = (None if ms is None else datetime.fromtimestamp(ms / 1000, UTC) for ms in (self.start_ms, self.end_ms))
        return "/".join("" if end is None else f"{end:%Y-%m-%dT%H:%M:%S}" for end in ends)


def parse_window(text: str) -> Window:
    """Return the window that a text names.

    Parameters
    ----------
    text : str
        ``2026-03-01``, one UTC date, which is a night at Palomar; ``START/END`` as ISO times, UTC where they name
        no zone; either end may be left out.

    Raises
    ------
    SettingsError
        It is neither, or ends before it starts.
    """
    if _DATE.fullmatch(text):
        start = _moment(text, text)
        try:
            return Window(_ms(start), _ms(start + timedelta(days=1)))
        except OverflowError:
            raise SettingsError(f"--window {text}: the last day of the calendar has no end; write {text}/") from None
    begin, slash, end = text.partition("/")
    if not slash or not (begin or end):
        raise SettingsError(f"--window {text}: write a UTC date such as 2026-03-01, or START/END as ISO times")
    window = Window(*(_ms(_moment(part, text)) if part else None for part in (begin, end)))
    if window.start_ms is not None and window.end_ms is not None and window.end_ms <= window.start_ms:
        raise SettingsError(f"--window {text}: ends before it starts")
    return window


def _moment(part: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(part)
    except ValueError as error:
        raise SettingsError(f"--window {text}: {error}; write a UTC date, or START/END as ISO times") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)

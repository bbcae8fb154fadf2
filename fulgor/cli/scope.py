"""Which rows a command means: of which instrument and model, and of which stretch of time."""

from __future__ import annotations

from datetime import UTC, date, datetime

import typer

from fulgor.errors import SettingsError

__all__ = ["MODEL", "STREAM", "stretch"]

STREAM = typer.Option("ztf", "--stream", help="Instrument.")
MODEL = typer.Option(None, "--model", help="Model by id, name or hash; default: the live one.")


def stretch(night: str | None, since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the beginning and end that ``--night``, or ``--since`` and ``--until``, mean.

    Raises
    ------
    SettingsError
        They exclude each other, or cannot be read.
    """
    from fulgor.storage.queries import night_bounds

    if night is None:
        return _time("--since", since), _time("--until", until)
    if since is not None or until is not None:
        raise SettingsError("--night and --since/--until exclude each other")
    try:
        return night_bounds(date.fromisoformat(night))
    except (ValueError, OverflowError):  # the last day of the calendar has no end
        raise SettingsError(f"--night {night!r}: write a UTC day as YYYY-MM-DD") from None


def _time(flag: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{flag} {text!r}: write an ISO time such as 2026-03-01T04:00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)

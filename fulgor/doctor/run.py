"""All checks, side by side: what answers slowly keeps only its own lines waiting."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fulgor.consumer.settings import Settings, load_with_origins
from fulgor.doctor.broker import check_broker
from fulgor.doctor.check import Check, guarded, skipped
from fulgor.doctor.database import check_database
from fulgor.doctor.model import check_device, check_model_files, check_packages
from fulgor.doctor.settings import check_settings
from fulgor.errors import SettingsError
from fulgor.streams.registry import instrument

__all__ = ["Request", "run"]

_NEED_SETTINGS = ("broker", "database", "model", "device")


@dataclass(frozen=True, slots=True)
class Request:
    """What to look at.

    Parameters
    ----------
    stream : str
        Instrument.
    flags : mapping
        Settings given on the command line.
    config : Path, optional
        Config file.
    """

    stream: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None


def run(request: Request) -> list[Check]:
    """Make every check, whatever the others find.

    Returns
    -------
    list of Check
        In the order in which a consumer would meet the errors.
    """
    try:
        settings, origins = load_with_origins(request.flags, config=request.config)
    except SettingsError as error:
        failed = error  # the name of an except clause is gone after it, and a check is made later

        def fail() -> Check:
            raise failed

        rest = skipped(_NEED_SETTINGS, "the settings cannot be used")
        return [guarded("settings", fail), *rest, guarded("packages", check_packages)]
    found = [check_settings(settings, origins), guarded("packages", check_packages)]
    return found + _all(request.stream, settings)


def _all(name: str, settings: Settings) -> list[Check]:
    device = guarded("device", lambda: check_device(settings.device))
    try:
        stream = instrument(name, settings)
    except SettingsError as error:
        unknown = error

        def fail() -> Check:
            raise unknown

        rest = skipped(("model", "database", "broker"), "the stream is unknown")
        return [guarded("stream", fail), device, *rest]
    with ThreadPoolExecutor(2) as pool:
        database = pool.submit(check_database, settings, stream)
        broker = pool.submit(check_broker, settings, settings.topic or stream.default_topic)
        folder = settings.model or stream.default_model
        model = guarded("model", lambda: check_model_files(folder, stream))
        return [device, model, *database.result(), *broker.result()]

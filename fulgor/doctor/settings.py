"""The settings that are not defaults, where each came from, and no secret among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fulgor.consumer.settings import Settings
from fulgor.doctor.check import Check, passed
from fulgor.storage.database import location

__all__ = ["check_settings"]

# librdkafka has many settings that hold secrets, and new ones with each version: only these are shown.
_SHOWN = {
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "ssl.ca.location",
    "ssl.certificate.location", "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification",
}  # fmt: skip


def check_settings(settings: Settings, origins: Mapping[str, str]) -> Check:
    """Say which settings differ from the defaults, and where they came from."""
    named = [
        f"{name} = {_shown(name, getattr(settings, name))} ({origins.get(name, 'default')})"
        for name, field in Settings.model_fields.items()
        if getattr(settings, name) != field.get_default(call_default_factory=True)
    ]
    return passed("settings", "; ".join(named) if named else "all defaults")


def _shown(name: str, value: Any) -> str:
    if name == "database":
        return location(value)
    if name == "kafka":
        return ", ".join(f"{key}={value[key] if key in _SHOWN else '***'}" for key in sorted(value))
    if name == "schemas" and "@" in value:
        parts = urlsplit(value)
        return str(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    return str(value)

"""librdkafka settings on the command line: ``--kafka name=value``, repeatable."""

from __future__ import annotations

from collections.abc import Sequence

from fulgor.errors import SettingsError

__all__ = ["kafka_pairs"]


def kafka_pairs(given: Sequence[str] | None) -> dict[str, str] | None:
    """Return the settings, None where none were given.

    Raises
    ------
    SettingsError
        One is not of the form ``name=value``.
    """
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"--kafka {text!r}: write name=value, such as security.protocol=SASL_SSL")
        pairs[name.strip()] = value
    return pairs or None

"""Fulgor: streaming inference on alerts and waveforms, exactly once into Postgres.

What a notebook needs, each loaded when first used, so that importing the package costs nothing::

    import fulgor

    connection = fulgor.connect(url)                         # what `fulgor db url` prints
    for row in fulgor.anomalies(connection, "ztf", limit=20):
        print(row.alert, row.class_name, row.anomaly)

    decode = fulgor.ZtfDecoder()
    for message in fulgor.open_archive("night.tar.gz"):
        prepared = [fulgor.prepare(alert) for alert in decode(message.value)]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fulgor.errors import FulgorError as FulgorError
    from fulgor.models.serving import load as load_model
    from fulgor.preprocessing.ztf import ZtfDecoder, prepare
    from fulgor.replay.archive import open_archive
    from fulgor.storage.database import connect
    from fulgor.storage.ledger import check as check_ledger
    from fulgor.storage.queries import anomalies, nearest, object_history
    from fulgor.storage.sky import cone

__all__ = [
    "FulgorError",
    "ZtfDecoder",
    "__version__",
    "anomalies",
    "check_ledger",
    "cone",
    "connect",
    "load_model",
    "nearest",
    "object_history",
    "open_archive",
    "prepare",
]

__version__ = "0.1.0"

_HOMES = {
    "FulgorError": "fulgor.errors:FulgorError",
    "ZtfDecoder": "fulgor.preprocessing.ztf:ZtfDecoder",
    "anomalies": "fulgor.storage.queries:anomalies",
    "check_ledger": "fulgor.storage.ledger:check",
    "cone": "fulgor.storage.sky:cone",
    "connect": "fulgor.storage.database:connect",
    "load_model": "fulgor.models.serving:load",
    "nearest": "fulgor.storage.queries:nearest",
    "object_history": "fulgor.storage.queries:object_history",
    "open_archive": "fulgor.replay.archive:open_archive",
    "prepare": "fulgor.preprocessing.ztf:prepare",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fulgor' has no attribute {name!r}; it has: {', '.join(__all__)}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)

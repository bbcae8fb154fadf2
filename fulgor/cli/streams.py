"""``fulgor streams``: the instruments that are installed, ours and those of other packages."""

from __future__ import annotations

from fulgor.cli.output import JSON, emit

__all__ = ["streams"]


def streams(as_json: bool = JSON) -> None:
    """List the streams that are installed, and the package that offers each."""
    from fulgor.streams.registry import offers

    emit(offers(), ("name", "package", "version", "object"), as_json=as_json)

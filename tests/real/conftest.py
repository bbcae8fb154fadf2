"""The real alerts, read once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fulgor.errors import MalformedError
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder

FOLDERS = ("ztf/packets", "ztf/bulk", "ztf_unlabelled")


@pytest.fixture(scope="session")
def ztf_files(shared: Path) -> list[Path]:
    """Every container of real alerts."""
    return [path for folder in FOLDERS for path in sorted((shared / "data" / folder).rglob("*.avro"))]


@pytest.fixture(scope="session")
def decoded(ztf_files: list[Path]) -> dict[Path, list[ZtfAlert | MalformedError]]:
    """What each container decodes to."""
    decoder = ZtfDecoder()
    return {path: decoder(path.read_bytes()) for path in ztf_files}


@pytest.fixture(scope="session")
def alerts(decoded: dict[Path, list[ZtfAlert | MalformedError]]) -> list[ZtfAlert]:
    """All real alerts."""

    def good() -> Iterator[ZtfAlert]:
        for rows in decoded.values():
            yield from (row for row in rows if isinstance(row, ZtfAlert))

    return list(good())

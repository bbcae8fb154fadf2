"""Containers and tarballs to read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastavro
import pytest

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "alert",
        "fields": [
            {"name": "objectId", "type": "string"},
            {
                "name": "candidate",
                "type": {"type": "record", "name": "candidate", "fields": [{"name": "jd", "type": "double"}]},
            },
            {"name": "stamp", "type": "bytes"},
        ],
    }
)


def container(
    count: int = 1, *, jd: float = 2_460_000.5, size: int = 100, codec: str = "null", block: int = 16_000
) -> bytes:
    """Return an Avro container of `count` alerts, a minute apart."""
    file = io.BytesIO()
    records: list[dict[str, Any]] = [
        {"objectId": f"ZTF{number}", "candidate": {"jd": jd + number / 1440}, "stamp": bytes(size)}
        for number in range(count)
    ]
    marker = bytes(range(16))  # drawn at random otherwise: the same test would see other bytes each time
    fastavro.writer(file, SCHEMA, records, codec=codec, sync_interval=block, sync_marker=marker)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three alerts in nested folders, and what is no alert."""
    root = tmp_path / "archive"
    for name in ("b/2.avro", "a/10.avro", "a/9.AVRO"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(container(jd=2_460_000.5 + len(name)))
    for name in ("labels.csv", "_SUCCESS", ".hidden.avro"):
        (root / name).write_bytes(b"x")
    (root / ".git").mkdir()
    (root / ".git" / "1.avro").write_bytes(b"x")
    return root


@pytest.fixture
def make_tar(tmp_path: Path) -> Callable[..., Path]:
    """Write a tarball: ``make_tar({name: bytes}, mode="w:gz", format=...) -> path``."""

    def make(members: Mapping[str, bytes], mode: str = "w:gz", layout: int = tarfile.PAX_FORMAT) -> Path:
        path = tmp_path / ("night.tar.gz" if mode.endswith("gz") else "night.tar")
        with tarfile.open(path, mode, format=layout) as tar:  # type: ignore[call-overload]
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return make

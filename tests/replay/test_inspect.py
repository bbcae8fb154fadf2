from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from fulgor.errors import ArchiveError
from fulgor.replay.archive import open_archive
from fulgor.replay.inspect import inspect_archive


def _record(name: str, *fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in fields]}


SCHEMA = fastavro.parse_schema(
    _record(
        "alert",
        ("schemavsn", "string"),
        ("objectId", "string"),
        (
            "candidate",
            _record(
                "candidate", ("jd", "double"), ("fid", "int"), ("candid", "long"), ("programid", "int"),
                ("ra", "double"), ("dec", "double"), ("magpsf", "float"),
            ),
        ),
    )
)  # fmt: skip


def alerts(*candids: int, fid: int = 1, version: str = "4.02", codec: str = "null") -> bytes:
    file = io.BytesIO()
    records = [
        {
            "schemavsn": version,
            "objectId": f"ZTF18{candid % 2}",
            "candidate": {
                "jd": 2_460_000.5 + candid, "fid": fid, "candid": candid, "programid": 1,
                "ra": 1.0, "dec": 2.0, "magpsf": 18.0,
            },
        }
        for candid in candids
    ]  # fmt: skip
    fastavro.writer(file, SCHEMA, records, codec=codec)
    return file.getvalue()


def test_counts_what_is_there(make_tar: Callable[..., Path]) -> None:
    values = {
        "1.avro": alerts(1, 2, 3),
        "2.avro": alerts(3, fid=2, version="3.3", codec="deflate"),
        "3.avro": alerts(5, fid=4),
        "4.avro": alerts(6)[:-3],
        "5.avro": alerts(7)[:-9],
        "6.avro": b"",
        "README": b"",
    }
    found = inspect_archive(open_archive(make_tar(values)))
    assert (found.messages, found.records, found.alerts, found.repeated, found.objects) == (6, 5, 4, 1, 2)
    assert found.bytes == sum(map(len, values.values()))
    assert found.size_max == len(values["1.avro"])
    assert (found.jd_first, found.jd_last) == (2_460_001.5, 2_460_003.5)
    assert found.nights == {"2023-02-26": 1, "2023-02-27": 1, "2023-02-28": 2}
    assert found.bands == {"g": 3, "r": 1}
    assert found.schema_versions == {"3.3": 1, "4.02": 3}
    assert found.schemas == 1
    assert found.codecs == {"deflate": 1, "no container": 1, "null": 4}
    assert found.others == {"file without suffix": 1}
    assert found.failure is None


def test_groups_what_does_not_decode_by_its_reason(make_tar: Callable[..., Path]) -> None:
    values = {f"{fid}.avro": alerts(fid, fid=fid) for fid in (7, 8, 9)} | {
        "a.avro": b"",
        "b.avro": b"",
        "c.avro": b"\xff" * 9,
    }
    found = inspect_archive(open_archive(make_tar(values)))
    assert [(kind.count, kind.stage, kind.example) for kind in found.undecodable] == [
        (3, "record", "7.avro"),
        (2, "framing", "a.avro"),
        (1, "framing", "c.avro"),
    ]
    assert "fid is 7" in found.undecodable[0].reason
    assert found.jd_first is None


def test_a_cut_tarball_is_counted_as_far_as_it_goes(make_tar: Callable[..., Path]) -> None:
    path = make_tar({"1.avro": alerts(1), "2.avro": alerts(2) + os.urandom(20_000)}, "w")
    path.write_bytes(path.read_bytes()[:9000])
    found = inspect_archive(open_archive(path))
    assert found.alerts == 1
    assert found.failure is not None
    assert "cut" in found.failure


def test_an_empty_archive_is_an_error(make_tar: Callable[..., Path]) -> None:
    with pytest.raises(ArchiveError, match="holds no alerts"):
        inspect_archive(open_archive(make_tar({})))


@pytest.mark.real
def test_all_real_alerts_decode(shared: Path) -> None:
    found = inspect_archive(open_archive(shared / "data" / "ztf" / "packets"))
    assert (found.messages, found.records, found.alerts, found.undecodable) == (192, 342, 342, [])
    assert found.codecs == {"null": 138, "snappy": 54}
    bulk = inspect_archive(open_archive(shared / "data" / "ztf" / "bulk"))
    assert (bulk.messages, bulk.alerts, bulk.undecodable) == (10, 454, [])

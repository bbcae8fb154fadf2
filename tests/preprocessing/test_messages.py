"""Messages in Confluent wire format; those in containers are tested with each instrument's decoder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from fulgor.errors import MalformedError
from fulgor.preprocessing.schemas import SchemaFolder
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder


def _framed(packets: Any, schema_id: int = 7) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(packets.schema), packets.packet())
    return b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()


def test_a_framed_alert_equals_the_one_in_a_container(packets: Any, tmp_path: Path) -> None:
    (tmp_path / "7.avsc").write_text(json.dumps(packets.schema))
    (alert,) = ZtfDecoder(SchemaFolder(tmp_path))(_framed(packets))
    assert isinstance(alert, ZtfAlert)
    assert alert.candid == packets.decode_one().candid
    assert alert.cutouts == packets.decode_one().cutouts


def test_a_framed_alert_has_to_use_up_its_bytes(packets: Any, tmp_path: Path) -> None:
    (tmp_path / "7.avsc").write_text(json.dumps(packets.schema))
    decode = ZtfDecoder(SchemaFolder(tmp_path))
    with pytest.raises(MalformedError, match=r"not of schema id 7: the record takes \d+ of \d+ bytes"):
        decode(_framed(packets) + b"\0")
    with pytest.raises(MalformedError, match="damaged, or not of schema id 7: cutoutDifference"):
        decode(_framed(packets)[:-9])
    with pytest.raises(MalformedError, match=r"schema id 8, but .*8\.avsc does not exist"):
        decode(_framed(packets, 8))
    with pytest.raises(MalformedError, match="neither a schema registry nor a folder"):
        ZtfDecoder()(_framed(packets))

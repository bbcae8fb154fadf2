"""Schema sources: a folder, and a registry that a thread of the test plays."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fulgor.errors import BrokerError, MalformedError, SettingsError
from fulgor.preprocessing.schemas import MAX_REPLY_BYTES, SchemaFolder, SchemaRegistry, schema_source


class _Registry(HTTPServer):
    replies: dict[int, tuple[int, bytes]]
    seen: list[tuple[str, str | None]]


class _Handler(BaseHTTPRequestHandler):
    server: _Registry

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.replies.get(int(self.path.rsplit("/", 1)[1]), (404, b"{}"))
        self.send_response(status)
        if status == HTTPStatus.FOUND:
            self.send_header("Location", body.decode())
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def registry() -> Iterator[_Registry]:
    server = _Registry(("127.0.0.1", 0), _Handler)
    server.replies, server.seen = {}, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _source(registry: _Registry, user: str = "") -> SchemaRegistry:
    return SchemaRegistry(f"http://{user}127.0.0.1:{registry.server_port}/base/", timeout=60)


def test_a_registry_is_asked_once(registry: _Registry) -> None:
    registry.replies[7] = (200, json.dumps({"schema": '"int"'}).encode())
    source = _source(registry)
    assert source.schema(7) == source.schema(7) == b'"int"'
    assert registry.seen == [("/base/schemas/ids/7", None)]


def test_the_password_is_sent_and_never_shown(registry: _Registry) -> None:
    registry.replies[7] = (401, b"")
    with pytest.raises(BrokerError, match="answers 401") as caught:
        _source(registry, "me:s%40cret@").schema(7)
    assert registry.seen == [("/base/schemas/ids/7", "Basic bWU6c0BjcmV0")]
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_password_is_not_sent_to_where_the_registry_redirects(registry: _Registry) -> None:
    registry.replies |= {7: (302, b"/elsewhere/8"), 8: (200, json.dumps({"schema": '"int"'}).encode())}
    assert _source(registry, "me:secret@").schema(7) == b'"int"'
    assert [(path, sent is not None) for path, sent in registry.seen] == [
        ("/base/schemas/ids/7", True),
        ("/elsewhere/8", False),
    ]


def test_an_unknown_id_is_malformed(registry: _Registry) -> None:
    with pytest.raises(MalformedError, match="has no schema id 9") as caught:
        _source(registry).schema(9)
    assert caught.value.stage == "framing"


@pytest.mark.parametrize(
    "reply", [b"not json", b"[]", b"{}", b"3", json.dumps({"schema": "x" * MAX_REPLY_BYTES}).encode()]
)
def test_a_strange_answer_is_the_registrys_fault(registry: _Registry, reply: bytes) -> None:
    registry.replies[7] = (200, reply)
    with pytest.raises(BrokerError):
        _source(registry).schema(7)


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"schemaType": "PROTOBUF"}, "a PROTOBUF schema"),
        ({"references": [{"name": "x", "subject": "y", "version": 1}]}, "references"),
    ],
)
def test_other_kinds_of_schema(registry: _Registry, extra: dict[str, Any], what: str) -> None:
    registry.replies[7] = (200, json.dumps({"schema": '"int"', **extra}).encode())
    with pytest.raises(MalformedError, match=what):
        _source(registry).schema(7)


def test_a_registry_that_is_away_is_transient_and_asked_again(registry: _Registry) -> None:
    registry.replies[7] = (503, b"")
    source = _source(registry)
    with pytest.raises(BrokerError, match="503"):
        source.schema(7)
    registry.replies[7] = (200, json.dumps({"schema": '"int"'}).encode())
    assert source.schema(7) == b'"int"'
    away = SchemaRegistry("http://user:secret@127.0.0.1:9", timeout=60)
    with pytest.raises(BrokerError, match="cannot be reached") as caught:
        away.schema(1)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port", "file:///etc/passwd"])
def test_impossible_addresses(url: str) -> None:
    with pytest.raises(SettingsError):
        SchemaRegistry(url)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "7.avsc").write_text('"int"')
    source = schema_source(str(tmp_path))
    assert source.schema(7) == b'"int"'
    with pytest.raises(MalformedError, match=r"8\.avsc does not exist"):
        source.schema(8)
    with pytest.raises(SettingsError, match="does not exist"):
        SchemaFolder(tmp_path / "nowhere")
    assert isinstance(schema_source("https://registry:8081"), SchemaRegistry)

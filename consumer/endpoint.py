"""The end point of a consumer: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for an orchestrator."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fulgor.consumer.health import Answer, Health
from fulgor.errors import SettingsError

__all__ = ["serving"]

log = logging.getLogger(__name__)
_CLIENT_TIMEOUT_S = 10


@contextmanager
def serving(port: int | None, registry: CollectorRegistry, health: Health) -> Iterator[int | None]:
    """Serve on all addresses of this machine while the block runs; nothing where there is no port.

    Parameters
    ----------
    port : int or None
        0 takes a free one.
    registry : CollectorRegistry
        What ``/metrics`` shows.
    health : Health
        What ``/healthz`` and ``/readyz`` ask: 200, or 503 with the reason.

    Yields
    ------
    int or None
        The port.

    Raises
    ------
    SettingsError
        The port is taken or may not be used.
    """
    if port is None:
        yield None
        return
    try:
        server = ThreadingHTTPServer(("", port), _handler(registry, health))
    except OSError as error:
        raise SettingsError(f"metrics port {port}: {error.strerror}; choose another with --metrics-port") from None
    thread = Thread(target=server.serve_forever, name="fulgor-endpoint", daemon=True)
    thread.start()
    log.info("metrics on http://0.0.0.0:%d/metrics, beside them /healthz and /readyz", server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        timeout = _CLIENT_TIMEOUT_S

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._send(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/healthz":
                    self._answer(health.healthy())
                case "/readyz":
                    self._answer(health.ready())
                case _:
                    self._json(HTTPStatus.NOT_FOUND, {"paths": ["/metrics", "/healthz", "/readyz"]})

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, answer: Answer) -> None:
            self._json(HTTPStatus.OK if answer.ok else HTTPStatus.SERVICE_UNAVAILABLE, answer.as_json())

        def _json(self, status: HTTPStatus, body: dict[str, object]) -> None:
            self._send(status, "application/json", json.dumps(body).encode() + b"\n")

        def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            log.debug("end point: %s", format % args)

    return Handler

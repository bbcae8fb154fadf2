"""Ports of the loopback, for servers that share a machine with others."""

from __future__ import annotations

import socket

__all__ = ["LOOPBACK", "any_port", "is_free"]

LOOPBACK = "127.0.0.1"


def any_port() -> int:
    """Return a port on which nobody listens now; somebody else may still take it first."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Say whether a server could listen on a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True

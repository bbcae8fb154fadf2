"""Ports of the loopback, for servers that share a machine with others."""

from __future__ import annotations

import socket

__all__ = ["LOOPBACK", "any_port", "hold", "is_free"]

LOOPBACK = "127.0.0.1"


def any_port() -> int:
    """Return a port on which nobody listens now; somebody else may still take it first."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def hold(port: int = 0) -> socket.socket:
    """Return a socket that holds a port, by default any, for a server that is about to start there.

    It is bound and does not listen: until it is closed nobody else is given the port, and on Linux a server that sets
    ``SO_REUSEADDR``, as they all do, may listen on it.

    Raises
    ------
    OSError
        Somebody else has the port.
    """
    holder = socket.socket()
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, port))
    except OSError:
        holder.close()
        raise
    return holder


def is_free(port: int) -> bool:
    """Say whether a server could listen on a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True

"""Why a broker that cannot be talked to cannot: what librdkafka calls a transport failure, looked into.

A client that speaks plainly to a TLS port, or TLS to a plain one, sees its connection closed and
nothing else. So the port is tried with both.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fulgor.errors import SettingsError

__all__ = ["check_files", "diagnose"]

_TIMEOUT_S = 1.5
_ADDRESSES = 3
_FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location")


def check_files(settings: Mapping[str, Any]) -> None:
    """Refuse librdkafka settings that name files that are not there; its own message would not say so.

    Raises
    ------
    SettingsError
        Naming the setting and the path.
    """
    for name in _FILES:
        # Besides paths, the certificate authority may be the word "probe".
        if (path := settings.get(name)) and path != "probe" and not Path(str(path)).exists():
            raise SettingsError(f"kafka setting {name}: {path} does not exist")


def diagnose(bootstrap: str, protocol: str) -> str | None:
    """Say what is wrong with the connection to a broker that was tried in vain.

    Parameters
    ----------
    bootstrap : str
        ``host:port[,host:port]``.
    protocol : str
        librdkafka's ``security.protocol``.

    Returns
    -------
    str or None
        None where nothing answers at all.
    """
    for address in bootstrap.split(",")[:_ADDRESSES]:
        host, _, port = address.strip().rpartition(":")
        if not port.isdecimal() or not (place := (host.strip("[]"), int(port)))[0] or not _answers(place):
            continue
        return _mismatch(protocol.upper(), speaks_tls=_speaks_tls(place))
    return None


def _mismatch(protocol: str, *, speaks_tls: bool) -> str:
    wants_tls = protocol.endswith("SSL")
    if speaks_tls and not wants_tls:
        better = "SASL_SSL" if protocol.startswith("SASL") else "SSL, or SASL_SSL with a user"
        return f"the port speaks TLS, but security.protocol is {protocol}: set it to {better}"
    if wants_tls and not speaks_tls:
        better = "SASL_PLAINTEXT" if protocol.startswith("SASL") else "PLAINTEXT, or SASL_PLAINTEXT with a user"
        return f"the port does not speak TLS, but security.protocol is {protocol}: set it to {better}"
    if not protocol.startswith("SASL"):
        return (
            f"something answers there and then hangs up, with security.protocol {protocol}: a port that wants a user?"
            f" set it to SASL_{protocol}, with sasl.mechanism and sasl.username"
        )
    return "something answers there, but not as a Kafka broker does: check --bootstrap"


def _answers(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, _TIMEOUT_S):
            return True
    except (OSError, OverflowError, UnicodeError):
        return False


def _speaks_tls(place: tuple[str, int]) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # nothing is sent: the question is only whether a handshake begins
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(place, _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=place[0]),
        ):
            return True
    except ssl.SSLError as error:
        # An alert is TLS too: a port that asks for a client certificate, or for another version.
        return "ALERT" in (error.reason or "")
    except OSError:
        return False

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from fulgor.consumer.diagnosis import check_files, diagnose
from fulgor.errors import SettingsError


@pytest.fixture
def plain_port() -> Iterator[int]:
    """A port that takes connections and hangs up, like a broker that is spoken to in the wrong way."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                client.close()

        thread = Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("ssl", "does not speak TLS, but security.protocol is SSL: set it to PLAINTEXT"),
        ("SASL_SSL", "set it to SASL_PLAINTEXT"),
        ("PLAINTEXT", "SASL_PLAINTEXT, with sasl.mechanism and sasl.username"),
        ("SASL_PLAINTEXT", "not as a Kafka broker does"),
    ],
)
def test_a_port_without_tls(plain_port: int, protocol: str, expected: str):
    assert expected in str(diagnose(f"127.0.0.1:{plain_port}", protocol))


@pytest.mark.parametrize(
    "bootstrap", ["127.0.0.1:1", "no.such.host.invalid:9092", "nonsense", ":9092", "", "h:99999999"]
)
def test_nothing_answers(bootstrap: str):
    assert diagnose(bootstrap, "PLAINTEXT") is None


def test_the_first_that_answers_counts(plain_port: int):
    assert diagnose(f"127.0.0.1:1, 127.0.0.1:{plain_port}", "SSL") is not None


def test_files_that_are_not_there(tmp_path):
    check_files({"ssl.ca.location": str(tmp_path), "sasl.username": "x"})
    check_files({"ssl.ca.location": "probe"})
    with pytest.raises(SettingsError, match=r"ssl\.key\.location: /none"):
        check_files({"ssl.key.location": "/none"})

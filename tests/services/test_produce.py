"""Archives onto real brokers, read back byte for byte."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from threading import Event, Timer

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, KafkaError, Message, TopicPartition
from faketopic import A_NIGHT_MS, FakeTopic, record
from faketopic import message as topic_message

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.embedded.broker import EmbeddedBroker
from fulgor.errors import ArchiveError, BrokerError, SettingsError, TopicError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.archive import open_archive
from fulgor.replay.produce import TIME_HEADER, ProduceOptions, ProduceReport, produce
from fulgor.replay.selection import Selection
from fulgor.replay.topic import open_topic
from fulgor.replay.window import Window, parse_window

from .conftest import Broker

pytestmark = pytest.mark.services

LARGE = {"max.message.bytes": str(MESSAGE_MAX_BYTES)}


def cluster_of(broker: Broker, **settings: str | int) -> Cluster:
    return Cluster(broker.bootstrap, {name.replace("_", "."): value for name, value in settings.items()})


def read_all(broker: Broker, topic: str, partitions: int = 1) -> list[Message]:
    """Return all messages of a topic, partition by partition."""
    config = {"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex, "enable.partition.eof": True}
    consumer = Consumer(config)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Message] = []
    ends, deadline = 0, time.monotonic() + 120
    while ends < partitions and time.monotonic() < deadline:
        for message in consumer.consume(100, 0.2):
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ends += 1
    consumer.close()
    assert ends == partitions, "the topic was not read to its end"
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))


def await_first(broker: Broker, topic: str) -> None:
    """Wait until something is in a topic."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(120)
    consumer.close()
    assert message is not None
    assert message.error() is None


def values_of(messages: list[Message]) -> list[bytes]:
    return [message.value() or b"" for message in messages]


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Twenty small files, which hold no alerts: it is the bytes that count."""
    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.avro").write_bytes(b"value %02d" % number + bytes([0, 10, 13, 255]) * number)
    (folder / "labels.csv").write_bytes(b"x")
    return folder


@pytest.fixture
def unmade(broker: Broker) -> Iterator[str]:
    """Name of a topic that does not exist yet, deleted afterwards if it does."""
    name, admin = f"unmade-{uuid.uuid4().hex[:8]}", broker.admin()
    yield name
    if name in admin.list_topics(timeout=60).topics:
        admin.delete_topics([name])[name].result(60)


@pytest.mark.real
@pytest.mark.parametrize("part", ["packets", "bulk", "malformed"])
def test_every_real_file_arrives_unchanged(broker: Broker, topic: Callable[..., str], shared: Path, part: str) -> None:
    folder, name = shared / "data" / "ztf" / part, topic(3, LARGE)
    sent_at = time.time()
    report = produce(open_archive(folder), name, cluster_of(broker))
    messages = read_all(broker, name, 3)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.avro")}
    assert report.delivered == report.sent == len(messages) == len(files)
    assert report.bytes == sum(map(len, files.values()))
    hashes = {name: sha256(value).digest() for name, value in files.items()}
    assert {(message.key() or b"").decode(): sha256(message.value() or b"").digest() for message in messages} == hashes
    archived = {message.name: message.time_ms for message in open_archive(folder)}
    for message in messages:
        kind, stamp = message.timestamp()
        assert kind == TIMESTAMP_CREATE_TIME
        assert abs(stamp / 1000 - sent_at) < 600
        time_ms = archived[(message.key() or b"").decode()]
        assert message.headers() == (None if time_ms is None else [(TIME_HEADER, str(time_ms).encode())])
    assert report.without_time == sum(time_ms is None for time_ms in archived.values())


def test_order_repetition_and_limit(broker: Broker, topic: Callable[..., str], night: Path) -> None:
    name, archive = topic(), open_archive(night)
    report = produce(archive, name, cluster_of(broker), ProduceOptions(loop=3, limit=45))
    values = [message.value for message in archive]
    assert values_of(read_all(broker, name)) == (values * 3)[:45]
    assert (report.delivered, report.without_time, report.others) == (45, 45, {".csv file": 1})


def test_a_large_message_passes_where_the_topic_was_made_for_it(broker: Broker, unmade: str, tmp_path: Path) -> None:
    (tmp_path / "large.avro").write_bytes(os.urandom(MESSAGE_MAX_BYTES))
    report = produce(open_archive(tmp_path), unmade, cluster_of(broker), ProduceOptions(create=2))
    assert (report.delivered, report.partitions) == (1, 2)
    assert values_of(read_all(broker, unmade, 2)) == [(tmp_path / "large.avro").read_bytes()]


def test_what_the_topic_does_not_take_is_refused_before_anything_is_sent(
    broker: Broker, topic: Callable[..., str], night: Path
) -> None:
    name = topic(1, {"max.message.bytes": "2000"})
    (night / "15.avro").write_bytes(bytes(1900))
    with pytest.raises(TopicError, match=r"15\.avro: 1900 bytes .*max\.message\.bytes=2000"):
        produce(open_archive(night), name, cluster_of(broker))
    assert read_all(broker, name) == []


def test_small_limits_hold_for_batches_too(broker: Broker, topic: Callable[..., str], night: Path) -> None:
    name = topic(1, {"max.message.bytes": "2000"})
    assert produce(open_archive(night), name, cluster_of(broker), ProduceOptions(loop=20)).delivered == 400


def test_unknown_topics_are_refused_and_not_made(broker: Broker, unmade: str, night: Path) -> None:
    cluster = cluster_of(broker)
    with pytest.raises(TopicError, match=f"{unmade}.* does not exist.*--create"):
        produce(open_archive(night), unmade, cluster)
    assert cluster.matching(unmade) == {}
    with pytest.raises(TopicError, match="pattern"):
        produce(open_archive(night), "^absent", cluster)
    with pytest.raises(TopicError, match="letters, digits"):
        produce(open_archive(night), "no/name", cluster, ProduceOptions(create=1))


@pytest.mark.parametrize(
    ("options", "settings", "problem"),
    [
        (ProduceOptions(loop=0), {}, "--loop 0"),
        (ProduceOptions(limit=0), {}, "--limit 0"),
        (ProduceOptions(create=0), {}, "--create 0"),
        (ProduceOptions(rate=1, speed=1), {}, "exclude"),
        (ProduceOptions(), {"acks": 1}, "acks=1.*fixed"),
        (ProduceOptions(), {"enable_idempotence": "false"}, r"enable\.idempotence.*fixed"),
    ],
)
def test_impossible_options(
    embedded_broker: Broker, night: Path, options: ProduceOptions, settings: dict[str, str | int], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        produce(open_archive(night), "any", cluster_of(embedded_broker, **settings), options)


def test_what_is_not_selected_is_counted_and_nothing_at_all_is_an_error(
    embedded_broker: Broker, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    record(FakeTopic([topic_message(number % 2, number // 2) for number in range(20)]), tmp_path / "out")
    archive, cluster = open_archive(tmp_path / "out"), cluster_of(embedded_broker)
    late = Selection(Window(A_NIGHT_MS + 6 * 60_000, None))
    report = produce(archive, make_topic(embedded_broker), cluster, ProduceOptions(selection=late, rate=1000))
    assert (report.delivered, report.passed_over) == (8, 12)
    assert report.lateness is not None
    none, name = ProduceOptions(selection=Selection(parse_window("2001-01-01"))), make_topic(embedded_broker)
    with pytest.raises(ArchiveError, match=r"nothing to send: none of 20 messages meets --window 2001"):
        produce(archive, name, cluster, none)


def test_rate(embedded_broker: Broker, make_topic: Callable[..., str], night: Path) -> None:
    options = ProduceOptions(rate=50)
    report = produce(open_archive(night), make_topic(embedded_broker), cluster_of(embedded_broker), options)
    assert 19 / 50 <= report.seconds < 60


@pytest.mark.parametrize("at", [0, 7])
def test_an_interruption_waits_for_what_is_under_way(
    broker: Broker, topic: Callable[..., str], night: Path, at: int
) -> None:
    def interrupt(report: ProduceReport) -> None:
        if report.sent > at:
            raise KeyboardInterrupt

    name = topic()
    report = produce(open_archive(night), name, cluster_of(broker), on_progress=interrupt)
    assert (report.interrupted, report.sent, report.delivered) == (True, at + 1, at + 1)
    assert len(read_all(broker, name)) == at + 1


def test_told_to_stop_it_neither_sends_nor_waits_for_the_next_one(
    embedded_broker: Broker, make_topic: Callable[..., str], night: Path
) -> None:
    stopping = Event()
    timers = []

    def told_soon(_: ProduceReport) -> None:
        timers.append(Timer(0.3, stopping.set))
        timers[-1].start()

    name, options = make_topic(embedded_broker), ProduceOptions(rate=0.001)
    report = produce(open_archive(night), name, cluster_of(embedded_broker), options, told_soon, stopping)
    timers[0].join()
    assert (report.interrupted, report.sent, report.delivered) == (True, 1, 1)


def test_a_cut_tarball_is_delivered_up_to_the_cut(broker: Broker, topic: Callable[..., str], tmp_path: Path) -> None:
    name, path = topic(), tmp_path / "night.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(5):
            info = tarfile.TarInfo(f"{number}.avro")
            info.size = 600
            tar.addfile(info, io.BytesIO(b"%d" % number * 600))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ArchiveError, match=r"cut.*\(3 messages before it are delivered\)"):
        produce(open_archive(path), name, cluster_of(broker))
    assert values_of(read_all(broker, name)) == [b"%d" % number * 600 for number in range(3)]


def test_a_broker_that_goes_away_is_an_error_with_the_count(night: Path) -> None:
    with EmbeddedBroker() as own:
        broker = Broker("embedded", own.bootstrap, new_protocol=False, append_time=False)

        def kill(report: ProduceReport) -> None:
            if report.sent == 10:
                own.kill()

        cluster = cluster_of(broker, **{"delivery.timeout.ms": 3000})
        with pytest.raises(BrokerError, match=r"(\d\d)\.avro: .*timed out.*of \d+ messages are delivered"):
            produce(open_archive(night), "t", cluster, ProduceOptions(create=1, rate=20), kill)


class TestKeepTimestamps:
    OPTIONS = ProduceOptions(keep_timestamps=True)

    @pytest.mark.real
    def test_are_the_alerts_own_where_the_topic_keeps_them(
        self, kafka_broker: Broker, make_topic: Callable[..., str], shared: Path
    ) -> None:
        name = make_topic(kafka_broker)
        archive = open_archive(shared / "data" / "ztf" / "packets" / "boom")
        produce(archive, name, cluster_of(kafka_broker), self.OPTIONS)
        assert [message.timestamp()[1] for message in read_all(kafka_broker, name)] == [m.time_ms for m in archive]

    @pytest.mark.real
    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            ({"retention.ms": "604800000"}, "keeps messages for 7 days"),
            ({"message.timestamp.type": "LogAppendTime"}, "puts its own time"),
        ],
    )
    def test_are_refused_where_it_does_not(
        self, kafka_broker: Broker, make_topic: Callable[..., str], shared: Path, config: dict[str, str], problem: str
    ) -> None:
        name = make_topic(kafka_broker, 1, config)
        archive = open_archive(shared / "data" / "ztf" / "packets" / "boom")
        with pytest.raises(TopicError, match=problem):
            produce(archive, name, cluster_of(kafka_broker), self.OPTIONS)
        assert read_all(kafka_broker, name) == []

    @pytest.mark.real
    def test_are_refused_where_the_broker_does_not_say(
        self, embedded_broker: Broker, make_topic: Callable[..., str], shared: Path
    ) -> None:
        archive = open_archive(shared / "data" / "ztf" / "packets" / "boom")
        with pytest.raises(TopicError, match="does not tell the retention"):
            produce(archive, make_topic(embedded_broker), cluster_of(embedded_broker), self.OPTIONS)


def test_a_topic_that_is_made_has_the_limit_of_messages(broker: Broker, unmade: str) -> None:
    cluster = cluster_of(broker)
    made = open_topic(cluster, unmade, create=3)
    assert made.partitions == 3
    assert (made.max_message_bytes or 0) > MESSAGE_MAX_BYTES
    assert open_topic(cluster, unmade) == made


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run ``fulgor replay produce`` with these words; what still runs afterwards is killed."""
    command = [sys.executable, "-c", "from fulgor.cli import main; main()", "replay", "produce"]
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        started.append(subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for running in started:
        running.kill()
        running.communicate()


class TestCommand:
    def test_prints_one_line_in_a_pipe_and_one_object_as_json(
        self, embedded_broker: Broker, make_topic: Callable[..., str], night: Path, start: Start
    ) -> None:
        words = [str(night), "--topic", make_topic(embedded_broker), "--bootstrap", embedded_broker.bootstrap]
        out, err = start(*words).communicate(timeout=300)
        assert re.fullmatch(r"20 messages \(0\.0 MB\) delivered to topic .*not sent: 1 x \.csv file\n", out)
        assert err == ""
        report = json.loads(start(*words, "--json").communicate(timeout=300)[0])
        assert (report["delivered"], report["interrupted"], report["others"]) == (20, False, {".csv file": 1})

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_in_good_order(
        self, broker: Broker, topic: Callable[..., str], night: Path, start: Start, number: int
    ) -> None:
        name = topic()
        running = start(str(night), "--topic", name, "--bootstrap", broker.bootstrap, "--rate", "5", "--loop", "100")
        await_first(broker, name)
        running.send_signal(number)
        out, err = running.communicate(timeout=300)
        assert running.returncode == 130, err
        assert "interrupted, 0 of" in out
        assert int(out.split()[0]) == len(read_all(broker, name))

    @pytest.mark.parametrize(
        ("words", "code", "problem"),
        [
            (["--topic", "t", "--kafka", "sasl.password=x"], 2, "FULGOR_KAFKA_SASL_PASSWORD"),
            (["--topic", "t", "--kafka", "nonsense"], 2, "name=value"),
            (["--topic", "absent-topic"], 4, "does not exist"),
        ],
    )
    def test_mistakes_end_with_their_code(
        self, embedded_broker: Broker, night: Path, start: Start, words: list[str], code: int, problem: str
    ) -> None:
        running = start(str(night), "--bootstrap", embedded_broker.bootstrap, *words)
        _, err = running.communicate(timeout=300)
        assert (running.returncode, problem in err, "Traceback" in err) == (code, True, False), err

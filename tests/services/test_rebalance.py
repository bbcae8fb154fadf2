"""Partitions that come and go, fenced writers, lost answers: on real brokers and a real Postgres."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from toy import TABLE, ToyPredictor, ToyStream, message, record

from fulgor.consumer import kafkaadmin, membership
from fulgor.consumer.bounds import Bounds
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.messages import Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.settings import Settings
from fulgor.embedded.broker import EmbeddedBroker
from fulgor.errors import BrokerError
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.storage.writer import Writer

from .conftest import await_leaders, delete

pytestmark = pytest.mark.services


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


@pytest.fixture(params=["classic", "consumer"])
def protocol(request, broker) -> str:
    if request.param == "consumer" and not broker.new_protocol:
        pytest.skip("this broker has no KIP-848")
    return request.param


def produce(broker, topic: str, first: int, after: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index in range(first, after):
        producer.produce(topic, message(record(index)), partition=0)
    assert producer.flush(60) == 0


def run(broker, topic: str, database: str, protocol: str = "classic", predictor: ToyPredictor | None = None) -> Metrics:
    settings = Settings(bootstrap=broker.bootstrap, group_protocol=protocol, batch_size=16, deadline_ms=20)
    what = Consumption(ToyStream(), predictor or ToyPredictor(), database, "g")
    return consume(what, lambda: kafka_source(settings, topic, "g"), settings, title="toy", until_end=True)


def stored_once(database: str) -> list[int]:
    """The ledger closes and nothing came twice; return what is stored."""
    with connect(database) as connection:
        assert check(connection).findings == []
        assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (0,)
        return [
            int(str(alert)) for (alert,) in connection.execute("SELECT alert FROM fulgor.latent ORDER BY alert::int")
        ]


class Interfering(ToyPredictor):
    """Does something to the database while its n-th batch is on its way."""

    def __init__(self, database: str, statement: str, batch: int = 3) -> None:
        super().__init__()
        self._database, self._statement, self._batch = database, statement, batch

    def predict(self, arrays):
        if len(self.batches) == self._batch:
            with psycopg.connect(self._database, autocommit=True) as connection:
                connection.execute(self._statement)
        return super().predict(arrays)


def test_a_fenced_consumer_claims_again_what_is_still_its_own(
    broker, topic: Callable, tables: str, protocol: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(membership, "_TAKEN_S", 0.3)
    name = topic()
    produce(broker, name, 0, 300)
    taken = "UPDATE fulgor.feed SET epoch = epoch + 1, claimed_at = now(), owner = 'somebody'"
    run(broker, name, tables, protocol, Interfering(tables, taken))
    assert stored_once(tables) == list(range(300))


def test_a_connection_cut_in_the_middle_is_made_again(broker, topic: Callable, tables: str):
    name = topic()
    produce(broker, name, 0, 300)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'fulgor %:%'"
    run(broker, name, tables, predictor=Interfering(tables, cut))
    assert stored_once(tables) == list(range(300))


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_is_lost(
    embedded_broker, make_topic: Callable, tables: str, monkeypatch: pytest.MonkeyPatch, *, committed: bool
):
    name = make_topic(embedded_broker)
    produce(embedded_broker, name, 0, 100)
    write, left = Writer.write, [3]

    def losing(self, batch):
        if not committed and left[0]:
            left[0] -= 1
            raise psycopg.OperationalError("the server closed the connection before the COMMIT")
        outcome = write(self, batch)
        if left[0]:
            left[0] -= 1
            raise psycopg.OperationalError("the server closed the connection after the COMMIT")
        return outcome

    monkeypatch.setattr(Writer, "write", losing)
    run(embedded_broker, name, tables)
    assert left == [0]
    assert stored_once(tables) == list(range(100))


def test_a_partition_paused_when_it_went_away_flows_when_it_comes_back(broker, topic: Callable, protocol: str):
    name = topic()
    produce(broker, name, 0, 50)
    settings = Settings(bootstrap=broker.bootstrap, group_protocol=protocol)
    source, here = kafka_source(settings, name, name), Partition(name, 0)

    given: list[Partition] = []

    class Listener:
        def assigned(self, partitions):
            given.extend(partitions)

        def revoked(self, partitions):
            source.unassign(partitions)

        lost = revoked

    def first_offset(seconds: float = 60) -> int | None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := source.poll(0.1):
                return found[0].offset
        return None

    source.subscribe(Listener())
    deadline = time.monotonic() + 60
    while not given and time.monotonic() < deadline:
        assert source.poll(0.1) == []
    assert given == [here]
    assert first_offset(1) is None  # given, and not read: the client itself assigns nothing
    source.assign({here: 0})
    assert first_offset() == 0
    source.pause([here])
    source.unassign([here])
    source.unassign([here])  # as when it is let go at the stop and revoked by an event that was on its way
    source.assign({here: 7})
    assert first_offset() == 7
    source.close()


def test_a_paused_partition_whose_offset_expired_stays_paused(kafka_broker, make_topic: Callable):
    name = make_topic(kafka_broker)
    produce(kafka_broker, name, 0, 60)
    admin = kafka_broker.admin()
    for future in admin.delete_records([TopicPartition(name, 0, 40)]).values():
        future.result(60)
    source = kafka_source(Settings(bootstrap=kafka_broker.bootstrap, group_protocol="classic"), name, name)
    here = Partition(name, 0)
    source.assign({here: 5})
    deadline = time.monotonic() + 60
    while not source._expired and time.monotonic() < deadline:
        assert source.poll(0.1) == []
    source.pause([here])
    found = [polled for _ in range(15) for polled in source.poll(0.1)]  # the first one asks the broker, and waits
    assert [(polled.is_mark, polled.offset, polled.cause) for polled in found] == [(True, 40, "expired")]
    source.resume([here])
    while not (found := source.poll(0.1)) and time.monotonic() < deadline:
        pass
    assert found[0].offset == 40
    source.close()


@pytest.mark.parametrize("with_protocol", ["classic", "consumer"])
def test_expired_offsets_are_a_gap_in_the_ledger(
    kafka_broker, make_topic: Callable, tables: str, monkeypatch: pytest.MonkeyPatch, with_protocol: str
):
    name = make_topic(kafka_broker)
    produce(kafka_broker, name, 0, 20)
    run(kafka_broker, name, tables, with_protocol)
    produce(kafka_broker, name, 20, 60)
    admin = kafka_broker.admin()
    gone = admin.delete_records([TopicPartition(name, 0, 40)])
    for future in gone.values():
        future.result(60)
    held, silences = Bounds.held, [BrokerError("no answer")]

    def silent_once(self: Bounds, partition: Partition) -> tuple[int, int]:
        if silences:
            raise silences.pop()
        return held(self, partition)

    monkeypatch.setattr(Bounds, "held", silent_once)
    run(kafka_broker, name, tables, with_protocol)
    assert silences == []
    assert stored_once(tables) == [*range(20), *range(40, 60)]
    with psycopg.connect(tables) as connection:
        gaps = connection.execute("SELECT first_offset, next_offset, cause FROM fulgor.skipped").fetchall()
    assert gaps == [(20, 40, "expired")]


def test_a_topic_made_anew_is_read_from_its_beginning(broker, topic: Callable, tables: str):
    name = topic()
    produce(broker, name, 0, 30)
    run(broker, name, tables)
    admin = broker.admin()
    delete(admin, name)
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])[name].result(60)
    await_leaders(admin, name)
    produce(broker, name, 30, 40)
    run(broker, name, tables)
    assert stored_once(tables) == list(range(40))


def test_two_members_for_one_partition_both_come_to_the_end(broker, topic: Callable, tables: str, protocol: str):
    name = topic()
    produce(broker, name, 0, 200)
    consumer = Path(__file__).resolve().parents[1] / "support" / "toy_consumer.py"
    arguments = [sys.executable, consumer, broker.bootstrap, name, tables, "g", protocol, "--until-end"]
    members = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(2)]
    for member in members:
        _, errors = member.communicate(timeout=300)
        assert member.returncode == 0, errors.decode()
    assert stored_once(tables) == list(range(200))


def test_a_broker_that_goes_away_before_a_claim_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kafkaadmin, "_ANSWER_S", 1.0)
    with EmbeddedBroker() as own:
        cluster = kafkaadmin.Cluster(own.bootstrap, {})
    for _ in range(2):
        with pytest.raises(BrokerError, match="topic 'any'"):
            cluster.topic_id("any")


def test_a_header_name_that_is_not_text_costs_nothing_but_the_headers(
    embedded_broker, make_topic: Callable, tables: str
):
    name = make_topic(embedded_broker)
    produce(embedded_broker, name, 0, 50)  # enough for the interpreter to specialise the code that reads them
    _produce_with_odd_header(embedded_broker.bootstrap, name, message(record(50)))
    produce(embedded_broker, name, 51, 60)
    run(embedded_broker, name, tables)
    assert stored_once(tables) == list(range(60))


def _produce_with_odd_header(bootstrap: str, topic: str, value: bytes) -> None:
    """By librdkafka itself: its Python layer would not send such a thing."""
    folder = Path(confluent_kafka.__file__).parent
    found = [*folder.parent.glob("confluent_kafka.libs/librdkafka*"), *folder.glob(".dylibs/librdkafka*")]
    if not found:
        pytest.skip("the client was not installed from a wheel that brings librdkafka along")
    library = ctypes.CDLL(str(found[0]))
    for function in (library.rd_kafka_conf_new, library.rd_kafka_new, library.rd_kafka_headers_new):
        function.restype = ctypes.c_void_p
    config, problem = ctypes.c_void_p(library.rd_kafka_conf_new()), ctypes.create_string_buffer(512)
    library.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap.encode(), problem, 512)
    producer = ctypes.c_void_p(library.rd_kafka_new(0, config, problem, 512))
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(1))
    library.rd_kafka_header_add(headers, b"\xff\xfe", ctypes.c_ssize_t(2), b"x", ctypes.c_ssize_t(1))
    tag = dict(zip(("topic", "partition", "value", "headers", "end"), map(ctypes.c_int, (1, 3, 4, 10, 0)), strict=True))
    failed = library.rd_kafka_producev(
        producer, tag["topic"], ctypes.c_char_p(topic.encode()), tag["partition"], ctypes.c_int32(0),
        tag["value"], ctypes.c_char_p(value), ctypes.c_size_t(len(value)), tag["headers"], headers, tag["end"],
    )  # fmt: skip
    assert failed == 0
    assert library.rd_kafka_flush(producer, 60_000) == 0
    library.rd_kafka_destroy(producer)

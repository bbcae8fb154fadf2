"""The engine on real brokers and a real Postgres, with a stream small enough to count by hand."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import Producer
from toy import TABLE, ToyPredictor, ToyStream, message, record

from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.redrive import redrive
from fulgor.consumer.settings import Settings
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services

PROTOCOLS = ["classic", "consumer"]


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


@pytest.fixture(params=PROTOCOLS)
def protocol(request, broker) -> str:
    if request.param == "consumer" and not broker.new_protocol:
        pytest.skip("this broker has no KIP-848")
    return request.param


def produce(broker, topic: str, values: list[bytes | None], partitions: int = 1) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for index, value in enumerate(values):
        producer.produce(topic, value, partition=index % partitions)
    assert producer.flush(60) == 0


def run(
    broker, topic: str, database: str, *, group: str = "g", protocol: str = "classic", **settings: object
) -> Metrics:
    chosen = Settings(bootstrap=broker.bootstrap, group_protocol=protocol, **settings)
    what = Consumption(ToyStream(), ToyPredictor(), database, group)
    return consume(what, lambda: kafka_source(chosen, topic, group), chosen, title="toy", until_end=True)


def rows(database: str, query: str) -> list[tuple]:
    with psycopg.connect(database, options="-csearch_path=fulgor,public") as connection:
        return connection.execute(query).fetchall()


def counts(metrics: Metrics) -> dict[str, float]:
    return {name: metrics.value("fulgor_records_total", outcome=name) for name in ("stored", "duplicate", "dead")}


def test_every_kind_of_message_is_accounted_for(broker, topic: Callable, tables: str, protocol: str):
    name = topic(partitions=2)
    values = [message(record(f"good-{index}", value=index)) for index in range(40)]
    values[7] = b"not json"
    values[11] = message(record("m1"), record("m2", **{"break": "decode"}), record("m3"))
    values[13] = message()
    values[17] = message(record("good-1", value=1))  # seen before, in this very batch
    values[19] = message(record("good-3", value=99))  # same id, other content
    values[23] = None
    values[25] = message(record("good-25", value=25, **{"break": "prepare"}))
    values[29] = message(record("good-29", **{"break": "nul"}))
    values[31] = message(record("good-31", items=3))
    values[33] = message(record("good-33", unscorable="too dark"))
    values[35] = message(**{"break": "crash"})
    produce(broker, name, values, partitions=2)

    metrics = run(broker, name, tables, protocol=protocol)

    # 40 messages, of which 11 are not one plain good record
    assert counts(metrics) == {"stored": 40 - 11 + 2 + 3 + 1, "duplicate": 1, "dead": 7}
    dead = dict(
        rows(
            tables,
            "SELECT partition || ':' || \"offset\" || ':' || record, stage || ' ' || error_class FROM dead_letters",
        )
    )
    assert dead == {
        "1:3:0": "framing MalformedError", "1:5:1": "record MalformedError", "1:9:0": "store variant",
        "1:11:0": "framing MalformedError", "1:12:0": "prepare ValueError",
        "1:14:0": "database CharacterNotInRepertoire", "1:17:0": "decode ZeroDivisionError",
    }  # fmt: skip
    assert rows(tables, "SELECT count(*) FROM empty WHERE record = -1") == [(1,)]
    assert rows(tables, "SELECT partition, first_offset, next_offset FROM ledger ORDER BY 1") == [
        (0, 0, 20),
        (1, 0, 20),
    ]
    assert rows(tables, "SELECT anomaly, class, unscorable FROM toy_things WHERE alert = 'good-33'") == [
        (None, None, "too dark")
    ]
    assert rows(tables, "SELECT anomaly, class, latent IS NOT NULL FROM toy_things WHERE alert = 'good-8'") == [
        (pytest.approx(0.8), "high", True)
    ]
    with connect(tables) as connection:
        assert check(connection).closed


def test_a_second_run_goes_on_where_the_first_ended(broker, topic: Callable, tables: str, protocol: str):
    name = topic()
    produce(broker, name, [message(record(index)) for index in range(30)])
    assert counts(run(broker, name, tables, protocol=protocol))["stored"] == 30
    produce(broker, name, [message(record(index)) for index in range(20, 50)])
    again = run(broker, name, tables, protocol=protocol)
    assert counts(again) == {"stored": 20, "duplicate": 10, "dead": 0}
    assert again.value("fulgor_messages_total") == 30
    assert rows(tables, "SELECT next_offset FROM feed") == [(60,)]


def test_shapes_share_no_batch_and_each_flush_says_why(broker, topic: Callable, tables: str):
    name = topic()
    values = [message(record(index, width=4 if index % 4 else 6)) for index in range(100)]
    produce(broker, name, values)
    predictor = ToyPredictor()
    settings = Settings(bootstrap=broker.bootstrap, batch_size=16, deadline_ms=2000)
    what = Consumption(ToyStream(), predictor, tables, "g")
    metrics = consume(what, lambda: kafka_source(settings, name, "g"), settings, title="toy", until_end=True)
    assert counts(metrics)["stored"] == 100
    assert {shape[1] for shape in predictor.batches} == {4, 6}
    assert max(shape[0] for shape in predictor.batches) == 16
    assert metrics.value("fulgor_batch_flushes_total", reason="full") >= 3
    reasons = ("full", "deadline", "cut", "end")
    assert sum(metrics.value("fulgor_batch_flushes_total", reason=reason) for reason in reasons) == len(
        predictor.batches
    )


def test_back_pressure_pauses_and_loses_nothing(broker, topic: Callable, tables: str):
    name = topic(partitions=3)
    padding = "x" * 20_000
    produce(broker, name, [message(record(index, padding=padding)) for index in range(300)], partitions=3)
    metrics = run(broker, name, tables, inbox_mb=1, batch_size=8)
    assert counts(metrics)["stored"] == 300


def test_redrive_closes_what_can_be_stored_now(embedded_broker, make_topic: Callable, tables: str):
    name = make_topic(embedded_broker)
    values = [
        b"not json",
        message(record("a"), record("b", **{"break": "decode"}), record("c")),
        message(record("d", **{"break": "prepare"})),
        message(**{"break": "crash"}),
    ]
    produce(embedded_broker, name, values)
    assert counts(run(embedded_broker, name, tables)) == {"stored": 2, "duplicate": 0, "dead": 4}

    class Mended(ToyStream):
        """What a release with the bugs mended would be: all but the first message can be read."""

        def decode(self, value):
            return super().decode(value.replace(b'"break"', b'"was_broken"'))

    what = Consumption(Mended(), ToyPredictor(), tables, "g")
    again = redrive(what)
    assert (again.letters, again.stored, again.duplicates, again.dead) == (4, 2, 0, 1)
    open_letters = rows(tables, "SELECT reason, attempts FROM dead_letters WHERE status = 'dead'")
    assert len(open_letters) == 1
    assert open_letters[0][0].startswith("not JSON")
    assert open_letters[0][1] == 2
    assert rows(tables, "SELECT alert FROM latent ORDER BY 1") == [("a",), ("b",), ("c",), ("d",)]
    with connect(tables) as connection:
        assert check(connection).closed
    assert redrive(what, stage="prepare").letters == 0

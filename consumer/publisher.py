"""Anomalies to Kafka: read from the outbox after their commit, deleted from it after the broker's word.

At least once: a process that dies between the two leaves the row, and it or another sends it again.
It runs on a thread and a connection of its own; whatever happens to it, the engine goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from time import monotonic
from typing import Any

import psycopg
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.kafkasettings import producer_config
from fulgor.consumer.metrics import Metrics
from fulgor.errors import DatabaseError, SettingsError, TopicError
from fulgor.storage.database import ANSWER_S, Connection, connect, location
from fulgor.storage.outbox import OutboxRow, locked_rows, pending

__all__ = ["Publisher", "check_target", "publishing"]

log = logging.getLogger(__name__)

_ROWS = 500
_LOOK_S = 0.5
_RETRY_S = 5.0
_DELIVERY_S = 10.0
_DEFAULTS: Mapping[str, Any] = {"linger.ms": 5, "delivery.timeout.ms": int(_DELIVERY_S * 1000)}


def check_target(cluster: Cluster, topic: str, consumed: Collection[str]) -> None:
    """Refuse a topic that anomalies cannot go to.

    Parameters
    ----------
    cluster : Cluster
        Where the topic is.
    topic : str
        Where anomalies shall go.
    consumed : collection of str
        Topics that are read.

    Raises
    ------
    TopicError
        It does not exist, or is a pattern.
    SettingsError
        It is a topic that this consumer reads.
    """
    if topic.startswith("^"):
        raise TopicError(f"--alerts-to {topic!r}: is a pattern; give the name of one topic")
    try:
        cluster.require_topic(topic)
    except TopicError as error:
        raise TopicError(f"--alerts-to: {error}; create it first") from None
    if topic in consumed:
        raise SettingsError(f"--alerts-to {topic!r}: this consumer reads that topic; give another")


class Publisher:
    """Sends what lies in the outbox for one topic.

    Parameters
    ----------
    url : str
        The database.
    cluster : Cluster
        The broker, checked.
    topic : str
        Where anomalies go.
    metrics : Metrics
        Where counts go.

    Raises
    ------
    SettingsError
        A librdkafka setting is not allowed for a producer that loses nothing.
    """

    def __init__(self, url: str, cluster: Cluster, topic: str, metrics: Metrics) -> None:
        self._url = url
        self._cluster = cluster
        self._topic = topic
        self._metrics = metrics
        self._stopping = Event()
        self._connection: Connection | None = None
        self._producer: Producer | None = self._open_producer()
        self._thread = Thread(target=self._run, name="fulgor-publisher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def dead_threads(self) -> list[str]:
        """Return the thread's name if it ended although nobody asked it to."""
        ended = self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set()
        return [self._thread.name] if ended else []

    def stop(self, timeout_s: float) -> None:
        """Send what is in the outbox still, within a bound, and end; what is left is sent at the next start."""
        self._stopping.set()
        self._thread.join(timeout_s)
        if left := int(self._metrics.value("fulgor_alerts_pending")):
            log.warning("%d anomalies are not published to %s yet: the next consumer sends them", left, self._topic)

    def _run(self) -> None:
        while True:
            # Looked at before the round: what was stored before the end was asked for is sent by a last round.
            last = self._stopping.is_set()
            more, wait_s = self._round()
            if last and not more:
                break
            if not more:
                self._stopping.wait(wait_s)
        self._close()

    def _round(self) -> tuple[bool, float]:
        """Send some; return whether there is more to send at once, and else how long to wait."""
        try:
            sent, all_sent = self._send_some()
        except (psycopg.Error, DatabaseError) as error:
            log.warning("anomalies wait: database %s: %s", location(self._url), str(error).strip().split("\n")[0])
            self._close()
            return False, _RETRY_S
        except KafkaException as error:
            log.warning("anomalies wait: %s", self._cluster.explain(error.args[0]))
            self._producer = None
            return False, _RETRY_S
        return all_sent and sent == _ROWS, _LOOK_S if all_sent else _RETRY_S

    def _send_some(self) -> tuple[int, bool]:
        if self._connection is None:
            self._connection = connect(self._url, application="fulgor publisher", vectors=False, answer_s=ANSWER_S)
        with locked_rows(self._connection, self._topic, _ROWS) as (rows, done):
            if rows:
                done += self._send(rows)
        self._metrics.alerts_published.inc(len(done))
        self._metrics.alerts_pending.set(pending(self._connection, self._topic))
        return len(rows), len(done) == len(rows)

    def _send(self, rows: Sequence[OutboxRow]) -> list[int]:
        """Return the ids of those that the broker has acknowledged."""
        self._producer = self._producer or self._open_producer()
        delivered: list[int] = []
        errors: list[KafkaError] = []

        def note(outbox_id: int, error: KafkaError | None, _: Message) -> None:
            if error is None:
                delivered.append(outbox_id)
            else:
                errors.append(error)

        for row in rows:
            try:
                self._producer.produce(
                    self._topic, row.value.encode(), row.alert.encode(),
                    on_delivery=partial(note, row.outbox_id),
                )  # fmt: skip
            except KafkaException as error:  # this one's own fault: the others go
                errors.append(error.args[0])
            except BufferError:
                errors.append(KafkaError(KafkaError._QUEUE_FULL))
        give_up = monotonic() + _DELIVERY_S + 1
        while len(delivered) + len(errors) < len(rows) and monotonic() < give_up:
            self._producer.poll(0.1)
        if len(delivered) < len(rows):
            cause = self._cluster.explain(errors[0]) if errors else f"no acknowledgement within {_DELIVERY_S:.0f} s"
            log.warning("%d anomalies wait: topic %s: %s", len(rows) - len(delivered), self._topic, cause)
            self._producer.purge()
            self._producer = None  # a new one has no fatal error
        return delivered

    def _open_producer(self) -> Producer:
        config = producer_config(self._cluster.config, _DEFAULTS)
        try:
            return Producer(config | {"error_cb": self._on_error})
        except KafkaException as error:
            raise SettingsError(f"kafka settings: {error.args[0].str()}") from None

    def _on_error(self, error: KafkaError) -> None:
        log.debug("publisher: %s", self._cluster.explain(error))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def publishing(publisher: Publisher | None, timeout_s: float) -> Iterator[None]:
    """Run a publisher while the block runs; nothing where there is none."""
    if publisher is None:
        yield
        return
    publisher.start()
    try:
        yield
    finally:
        publisher.stop(timeout_s)

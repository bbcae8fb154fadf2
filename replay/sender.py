"""Messages handed to Kafka one by one, and account kept of what the broker acknowledged."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from threading import Event
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fulgor.errors import BrokerError, SettingsError, TopicError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.archived import TIME_HEADER, ArchivedMessage
from fulgor.replay.delivered import Lateness, ProduceReport
from fulgor.replay.pace import Pace
from fulgor.replay.topic import ENVELOPE_BYTES, Topic, timestamp_refusal

__all__ = ["Sender", "check_size"]

RECORD_OVERHEAD: Final = 128
PARTITION_UA: Final = -1
"""librdkafka's word for: by the key."""
FLUSH_S: Final = 70.0
SLEEP_S: Final = 0.002
Headers = list[tuple[str, str | bytes | None]]


def check_size(topic: Topic, name: str, size: int) -> None:
    """Refuse a message that the topic does not take.

    Raises
    ------
    TopicError
        Names the message, its size and the topic's limit.
    """
    limit = topic.max_message_bytes
    need = size + len(name.encode()) + RECORD_OVERHEAD
    if limit is not None and need > limit:
        raise TopicError(
            f"{name}: {size} bytes are more than topic {topic.name!r} takes (max.message.bytes={limit});"
            f" set the topic's max.message.bytes to {MESSAGE_MAX_BYTES + ENVELOPE_BYTES}, or split containers"
        )


def _headers(message: ArchivedMessage, time_ms: int | None) -> Headers:
    """Return a message's own headers, and its original time where none of them says it."""
    headers: Headers = list(message.headers)
    if time_ms is not None and not any(name == TIME_HEADER for name, _ in headers):
        headers.append((TIME_HEADER, str(time_ms).encode()))
    return headers


def _size(message: ArchivedMessage, headers: Headers) -> int:
    return len(message.value) + len(message.key or b"") + sum(len(name) + len(value or b"") for name, value in headers)


class Sender:
    """An idempotent producer to one topic; every delivery report is looked at.

    Parameters
    ----------
    topic : Topic
        Where to.
    config : mapping
        librdkafka settings.
    keep_timestamps : bool
        Give messages their original time as Kafka timestamp.
    stopping : Event, optional
        Ends the sending. A handler that raises would do so inside of librdkafka's callbacks, which lose it.

    Raises
    ------
    SettingsError
        librdkafka refuses a setting.
    """

    def __init__(
        self, topic: Topic, config: Mapping[str, Any], *, keep_timestamps: bool, stopping: Event | None = None
    ) -> None:
        self._topic = topic
        self._keep_timestamps = keep_timestamps
        self._stopping = stopping or Event()
        self._last_error = ""
        limit = topic.max_message_bytes or MESSAGE_MAX_BYTES + ENVELOPE_BYTES
        # A batch is refused like a single message, so no batch may be larger than the topic's limit.
        sizes = {"message.max.bytes": limit, "batch.size": min(1_000_000, limit)}
        try:
            self._producer = Producer({**config, **sizes, "error_cb": self._on_error})
        except KafkaException as error:
            raise SettingsError(f"kafka settings: {error.args[0].str()}") from error
        self._failure: str | None = None
        self._sent = self._delivered = self._bytes = self._without_time = 0
        self._began = time.monotonic()
        self._ended = self._clock = self._began
        self._late = array("f")

    @property
    def report(self) -> ProduceReport:
        """The state so far."""
        return ProduceReport(
            topic=self._topic.name,
            partitions=self._topic.partitions,
            sent=self._sent,
            delivered=self._delivered,
            bytes=self._bytes,
            without_time=self._without_time,
            seconds=self._ended - self._began,
        )

    @property
    def lateness(self) -> Lateness | None:
        """How late messages were queued; None where nothing had to be waited for."""
        if not self._late:
            return None
        ordered = sorted(self._late)
        return Lateness(1e3 * ordered[len(ordered) // 2], 1e3 * ordered[len(ordered) * 99 // 100])

    def send(self, message: ArchivedMessage, pace: Pace) -> None:
        """Queue a message when it is due; waits while the queue is full.

        Raises
        ------
        BrokerError
            This or an earlier message was not delivered.
        TopicError
            The topic does not take its size or its timestamp.
        KeyboardInterrupt
            It was told to stop.
        """
        time_ms = message.time_ms
        headers = _headers(message, time_ms)
        check_size(self._topic, message.name, _size(message, headers))
        self._without_time += time_ms is None
        timestamp = self._timestamp(message.name, time_ms)
        self._await_due(pace.due(time_ms))
        while not self._queue(message, timestamp, headers):
            self._wait(0.1)
        self._sent += 1
        self._wait(0.0)
        if self._sent == 1:
            self._start_clock()

    def finish(self) -> None:
        """Wait until all that was queued is acknowledged.

        Raises
        ------
        BrokerError
            It was not.
        """
        left = self._producer.flush(FLUSH_S)
        self._check()
        if left:
            raise BrokerError(f"{left} messages are not acknowledged after {FLUSH_S:.0f} s: {self._last_error}")

    def _queue(self, message: ArchivedMessage, timestamp: int, headers: Headers) -> bool:
        try:
            self._producer.produce(
                self._topic.name,
                value=None if message.is_tombstone else message.value,
                key=message.key,
                # What was recorded keeps the order of its partition, in however many the topic has.
                partition=PARTITION_UA if message.partition is None else message.partition % self._topic.partitions,
                timestamp=timestamp,
                headers=headers,
                on_delivery=self._on_delivery,
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise BrokerError(f"{message.name}: cannot be sent: {error.args[0].str()}") from error
        return True

    def _timestamp(self, name: str, time_ms: int | None) -> int:
        if not self._keep_timestamps or time_ms is None:
            return 0  # librdkafka puts the present
        refusal = timestamp_refusal(self._topic, time_ms, time.time_ns() // 1_000_000)
        if refusal is not None:
            raise TopicError(f"--keep-timestamps: {name}: {refusal}")
        return time_ms

    def _start_clock(self) -> None:
        """Count due times from when the broker has the first message: until then there was a connection to make."""
        while not self._delivered:
            self._wait(0.1)
        self._clock = time.monotonic()

    def _await_due(self, due: float) -> None:
        """Wait for a time after the clock's start, and note how late it is then."""
        while (left := self._clock + due - time.monotonic()) > 0:
            # Its own waiting overshoots by up to a millisecond: the last stretch is slept.
            if left > SLEEP_S:
                self._wait(min(left - SLEEP_S, 0.5))
            else:
                time.sleep(left)
        if due > 0:
            self._late.append(-left)

    def _wait(self, seconds: float) -> None:
        self._producer.poll(seconds)
        self._check()
        if self._stopping.is_set():
            raise KeyboardInterrupt

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._bytes += len(message.value() or b"")
        elif self._failure is None:
            key = message.key() or b""
            name = key.decode(errors="backslashreplace") if isinstance(key, bytes) else key
            self._failure = "; ".join(filter(None, (f"{name}: {error.str()}", self._last_error)))
        self._ended = time.monotonic()

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error.str()

    def _check(self) -> None:
        if self._failure is not None:
            raise BrokerError(
                f"{self._failure} ({self._delivered} of {self._sent} messages are delivered to {self._topic.name!r})"
            )

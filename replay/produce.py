"""An archive onto a Kafka topic: each message once, in order, every delivery report looked at.

The producer is idempotent and waits for all replicas. A message's key is its name in the archive, so
a row can be traced to its file (a compacted topic therefore keeps the newest of each name). Its Kafka
timestamp is now, since a broker deletes what is older than its retention; the original time travels
in the header ``fulgor-time-ms`` as decimal text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.errors import ArchiveError, BrokerError, SettingsError, TopicError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.archive import Archive, ArchivedMessage
from fulgor.replay.pace import Pace, choose_pace
from fulgor.replay.topic import ENVELOPE_BYTES, Topic, open_topic, timestamp_refusal

__all__ = ["TIME_HEADER", "ProduceOptions", "ProduceReport", "produce"]

TIME_HEADER: Final = "fulgor-time-ms"
RECORD_OVERHEAD: Final = 128
FLUSH_S: Final = 70.0

# Not to be overridden: what makes "delivered" mean delivered once.
FIXED: Final[dict[str, Any]] = {"enable.idempotence": True, "acks": "all"}
DEFAULTS: Final[dict[str, Any]] = {
    "delivery.timeout.ms": 60_000,
    "linger.ms": 5,
    "queue.buffering.max.kbytes": 65_536,
    "queue.buffering.max.messages": 10_000,
}


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """How to produce.

    Parameters
    ----------
    rate : float, optional
        Messages per second; flat out where neither rate nor speed is given.
    speed : float, optional
        Original intervals over this factor.
    loop : int
        How often the archive is sent.
    limit : int, optional
        Stop after this many messages in all.
    keep_timestamps : bool
        Give messages their original time as Kafka timestamp, if the topic keeps it.
    create : int, optional
        Create the topic with this many partitions if it does not exist.
    """

    rate: float | None = None
    speed: float | None = None
    loop: int = 1
    limit: int | None = None
    keep_timestamps: bool = False
    create: int | None = None


@dataclass(frozen=True, slots=True)
class ProduceReport:
    """What was done.

    Parameters
    ----------
    topic : str
        Where to.
    partitions : int
        Of that topic.
    sent, delivered : int
        Messages handed to the client, and acknowledged by the broker; unequal only after an
        interruption.
    bytes : int
        Of the values delivered.
    without_time : int
        Messages sent without the time header, since no time could be read from them.
    seconds : float
        From the first message to the last acknowledgement.
    others : mapping of str to int
        What in the archive is no message, by kind.
    problems : tuple of str
        Files that should be messages and cannot.
    interrupted : bool
        True after Ctrl-C.
    """

    topic: str
    partitions: int
    sent: int = 0
    delivered: int = 0
    bytes: int = 0
    without_time: int = 0
    seconds: float = 0.0
    others: Mapping[str, int] | None = None
    problems: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """Messages delivered per second."""
        return self.delivered / self.seconds if self.seconds else 0.0


def produce(
    archive: Archive,
    topic: str,
    cluster: Cluster,
    options: ProduceOptions | None = None,
    on_progress: Callable[[ProduceReport], None] | None = None,
) -> ProduceReport:
    """Send an archive to a topic and wait until the broker has all of it.

    Parameters
    ----------
    archive : Archive
        What to send.
    topic : str
        Where to; it must exist unless ``options.create`` is set.
    cluster : Cluster
        A broker that answers, with the user's librdkafka settings.
    options : ProduceOptions, optional
        Pace, repetitions, timestamps; flat out and once by default.
    on_progress : callable, optional
        Called with the state so far after each message.

    Returns
    -------
    ProduceReport
        Also after Ctrl-C, which stops sending and waits for what is under way.

    Raises
    ------
    SettingsError
        A setting or option cannot be used.
    BrokerError
        The broker refuses us, or did not acknowledge a message.
    TopicError
        The topic does not exist, or refuses a message (its size, its timestamp).
    ArchiveError
        The archive is cut or damaged, or empty; what came before the damage is delivered.
    """
    options = options or ProduceOptions()
    pace = choose_pace(options.rate, options.speed)
    config = _full_config(cluster.config, options)
    target = open_topic(cluster, topic, create=options.create)
    if archive.largest is not None:
        _check_size(target, *archive.largest)
    sender = _Sender(target, config, keep_timestamps=options.keep_timestamps)
    try:
        for message in _messages(archive, options, pace):
            sender.send(message, pace)
            if on_progress is not None:
                on_progress(sender.report)
    except KeyboardInterrupt:
        sender.finish()
        return _conclude(sender, archive, interrupted=True)
    except (ArchiveError, TopicError) as error:
        sender.finish()
        if not sender.report.delivered:
            raise
        raise type(error)(f"{error} ({sender.report.delivered} messages before it are delivered)") from error
    sender.finish()
    return _conclude(sender, archive, interrupted=False)


def _full_config(config: Mapping[str, Any], options: ProduceOptions) -> dict[str, Any]:
    for name, value in FIXED.items():
        if str(config.get(name, value)).lower() != str(value).lower():
            raise SettingsError(
                f"Kafka setting {name}={config[name]}: is fixed to {value}, or messages could be lost or doubled"
            )
    for name, count in (("--loop", options.loop), ("--limit", options.limit), ("--create", options.create)):
        if count is not None and count < 1:
            raise SettingsError(f"{name} {count}: must be at least 1")
    return {**DEFAULTS, **config, **FIXED}


def _messages(archive: Archive, options: ProduceOptions, pace: Pace) -> Iterator[ArchivedMessage]:
    left = options.limit
    for _ in range(options.loop):
        for message in archive:
            yield message
            left = None if left is None else left - 1
            if left == 0:
                return
        pace.restart()


def _conclude(sender: _Sender, archive: Archive, *, interrupted: bool) -> ProduceReport:
    return replace(
        sender.report, others=dict(archive.others), problems=tuple(archive.problems), interrupted=interrupted
    )


def _check_size(topic: Topic, name: str, size: int) -> None:
    limit = topic.max_message_bytes
    need = size + len(name.encode()) + RECORD_OVERHEAD
    if limit is not None and need > limit:
        raise TopicError(
            f"{name}: {size} bytes are more than topic {topic.name!r} takes (max.message.bytes={limit});"
            f" set the topic's max.message.bytes to {MESSAGE_MAX_BYTES + ENVELOPE_BYTES}, or split containers"
        )


class _Sender:
    """Hands messages to librdkafka and keeps account of what the broker acknowledged."""

    def __init__(self, topic: Topic, config: Mapping[str, Any], *, keep_timestamps: bool) -> None:
        self._topic = topic
        self._keep_timestamps = keep_timestamps
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
        self._ended = self._began

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

    def send(self, message: ArchivedMessage, pace: Pace) -> None:
        """Queue a message when it is due; waits while the queue is full."""
        _check_size(self._topic, message.name, len(message.value))
        time_ms = message.time_ms
        self._without_time += time_ms is None
        timestamp = self._timestamp(message.name, time_ms)
        self._wait(self._began + pace.due(time_ms))
        headers: list[tuple[str, str | bytes | None]] = (
            [] if time_ms is None else [(TIME_HEADER, str(time_ms).encode())]
        )
        while not self._queue(message, timestamp, headers):
            self._producer.poll(0.1)
            self._check()
        self._sent += 1
        self._producer.poll(0)
        self._check()

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

    def _queue(self, message: ArchivedMessage, timestamp: int, headers: list[tuple[str, str | bytes | None]]) -> bool:
        try:
            self._producer.produce(
                self._topic.name,
                value=message.value,
                key=message.name.encode(),
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

    def _wait(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            self._producer.poll(min(left, 0.5))
            self._check()

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._bytes += len(message.value() or b"")
        elif self._failure is None:
            key = message.key() or b""
            name = key.decode() if isinstance(key, bytes) else key
            self._failure = "; ".join(filter(None, (f"{name}: {error.str()}", self._last_error)))
        self._ended = time.monotonic()

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error.str()

    def _check(self) -> None:
        if self._failure is not None:
            raise BrokerError(
                f"{self._failure} ({self._delivered} of {self._sent} messages are delivered to {self._topic.name!r})"
            )

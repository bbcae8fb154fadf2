"""What goes onto the topic: the night, and on purpose a few broken messages and repeats."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.stopping import Stopping, stopped_by_signals
from fulgor.demo.simulation import NightAlert
from fulgor.errors import BrokerError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.archive import FileArchive
from fulgor.replay.files import Entry, Other
from fulgor.replay.produce import ProduceOptions, produce

__all__ = ["PARTITIONS", "Traffic", "Trickle", "Waiting", "send", "traffic"]

PARTITIONS = 4
_LIVE_PART = 10  # one of so many alerts comes while the consumer runs
_MOST_LIVE = 100
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that was not sent yet."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Traffic:
    """All messages of a run.

    Parameters
    ----------
    backlog : sequence of Waiting
        Sent before the consumer starts.
    live : sequence of Waiting
        Sent, spaced out in time, while it runs.
    broken, repeated : int
        How many of the backlog are broken and repeats, on purpose.
    """

    backlog: Sequence[Waiting]
    live: Sequence[Waiting]
    broken: int
    repeated: int

    @property
    def count(self) -> int:
        """Messages in all."""
        return len(self.backlog) + len(self.live)


def traffic(alerts: Sequence[NightAlert]) -> Traffic:
    """Return the messages of a night.

    Parameters
    ----------
    alerts : sequence of NightAlert
        In time order; at least ten.
    """
    messages = [Waiting(f"{alert.candid}.avro", alert.value) for alert in alerts]
    live = min(_MOST_LIVE, len(messages) // _LIVE_PART)
    backlog, late = messages[: len(messages) - live], messages[len(messages) - live :]
    broken = _broken(backlog)
    repeated = [backlog[0], backlog[len(backlog) // 3]]
    step = len(backlog) // (len(broken) + len(repeated) + 1)
    # From the back, so that the places before stay what they are.
    for place, message in reversed(list(enumerate([*repeated, *broken], 1))):
        backlog.insert(place * step + 1, message)
    return Traffic(backlog, late, len(broken), len(repeated))


def _broken(messages: Sequence[Waiting]) -> list[Waiting]:
    """Return three kinds of damage that real topics have shown."""
    whole = messages[len(messages) // 2].value
    flipped = bytearray(whole)
    flipped[-1] ^= 0xFF  # in the sync marker that ends the block
    return [
        Waiting("cut-off.avro", whole[: len(whole) // 2]),
        Waiting("flipped-bits.avro", bytes(flipped)),
        Waiting("another-survey.avro", _another_survey()),
    ]


def _another_survey() -> bytes:
    """Return a sound Avro container of somebody else's shape."""
    import fastavro

    fields = [{"name": "diaSourceId", "type": "long"}, {"name": "psfFlux", "type": "double"}]
    schema = {"type": "record", "name": "alert", "namespace": "another.survey", "fields": fields}
    out = io.BytesIO()
    fastavro.writer(out, schema, [{"diaSourceId": 1, "psfFlux": 2.5}])
    return out.getvalue()


def send(messages: Sequence[Waiting], topic: str, cluster: Cluster) -> None:
    """Produce messages flat out and wait until the broker has all of them.

    Parameters
    ----------
    messages : sequence of Waiting
        What to send, in order.
    topic : str
        Created with :data:`PARTITIONS` partitions if it is absent.
    cluster : Cluster
        The broker.

    Raises
    ------
    KeyboardInterrupt
        It was interrupted.
    BrokerError
        The broker refuses us, or does not acknowledge.
    """
    archive = FileArchive(Path("demo"), _InMemory(messages), split=False, limit=MESSAGE_MAX_BYTES)
    stopping = Stopping()
    with stopped_by_signals(stopping):
        report = produce(archive, topic, cluster, ProduceOptions(create=PARTITIONS), stopping=stopping)
    if stopping.is_set():
        raise KeyboardInterrupt
    if report.delivered != len(messages):
        raise BrokerError(f"the broker has {report.delivered} of {len(messages)} messages of topic {topic!r}")


class Trickle:
    """Sends messages one by one at a steady rate, over a connection that stands before the first.

    Parameters
    ----------
    messages : sequence of Waiting
        What to send, in order.
    topic : str
        It must exist.
    cluster : Cluster
        The broker.
    rate : float
        Messages per second.
    """

    def __init__(self, messages: Sequence[Waiting], topic: str, cluster: Cluster, rate: float) -> None:
        self._messages = messages
        self._topic = topic
        self._rate = rate
        self._delivered = 0
        try:
            self._producer = Producer({**cluster.config, "enable.idempotence": True, "acks": "all", "linger.ms": 0})
            self._producer.list_topics(topic, timeout=_PATIENCE_S)
        except KafkaException as error:
            raise BrokerError(f"topic {topic!r}: {cluster.explain(error.args[0])}") from error

    def __call__(self) -> None:
        """Send all and wait until the broker has them.

        Raises
        ------
        BrokerError
            It does not acknowledge.
        """
        began = monotonic()
        for number, message in enumerate(self._messages):
            while (left := began + number / self._rate - monotonic()) > 0:
                self._producer.poll(left)
            self._producer.produce(self._topic, message.value, message.name.encode(), on_delivery=self._count)
        self._producer.flush(_PATIENCE_S)
        if self._delivered != len(self._messages):
            raise BrokerError(
                f"the broker has {self._delivered} of {len(self._messages)} live messages of topic {self._topic!r}"
            )

    def _count(self, error: KafkaError | None, _: Message) -> None:
        self._delivered += error is None


class _InMemory:
    """Messages as the producer wants to read them."""

    def __init__(self, messages: Sequence[Waiting]) -> None:
        self._messages = messages
        self.size = sum(len(message.value) for message in messages)
        self.position = 0
        self.listing: list[Entry] | None = None

    def entries(self) -> Iterator[Entry | Other]:
        self.position = 0
        for message in self._messages:
            self.position += len(message.value)
            yield Entry(message.name, len(message.value), partial(io.BytesIO, message.value))

    def fingerprint(self) -> bytes:
        return b""

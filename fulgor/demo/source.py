"""The topic as the demo's consumer reads it: first the backlog, then what arrives live, then the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Thread
from time import monotonic

from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled

__all__ = ["NightSource"]


class NightSource(KafkaSource):
    """One member of a group that is told of the topic's end only when everything was sent and read.

    Once the backlog is committed it lets the live messages be sent, so that their way from the topic
    to the database is what a consumer that keeps up would show.

    Parameters
    ----------
    cluster : Cluster
        The broker.
    topic, group : str
        What to consume, as whom.
    backlog, live : int
        Messages on the topic, and messages to come.
    send_live : callable
        Sends the latter and returns when the broker has them; called on a thread of its own.
    """

    def __init__(
        self, cluster: Cluster, topic: str, group: str, *,
        backlog: int, live: int, send_live: Callable[[], None],
    ) -> None:  # fmt: skip
        protocol = cluster.group_protocol("auto")
        # Short, for the embedded broker makes a group's first member wait half of it.
        super().__init__(cluster, topic, group, protocol=protocol, session_timeout_ms=3_000)
        self._backlog = backlog
        self._expected = backlog + live
        self._send_live = send_live
        self._sender: Thread | None = None
        self._failure: Exception | None = None
        self._read: dict[Partition, int] = {}
        self._stored: dict[Partition, int] = {}
        self._ends: dict[Partition, Polled] = {}
        self._began = self._caught_up = 0.0

    @property
    def backlog_seconds(self) -> float:
        """Time from the first message read until the backlog was committed; 0 if it never was."""
        return max(self._caught_up - self._began, 0.0)

    def poll(self, timeout_s: float) -> Sequence[Polled]:
        """Return what has arrived; the ends of partitions only after the last message.

        Raises
        ------
        BrokerError
            Sending the live messages failed.
        """
        if self._failure is not None:
            raise self._failure
        messages = []
        for polled in super().poll(timeout_s):
            if polled.is_mark:
                self._ends[polled.partition] = polled
            else:
                messages.append(polled)
                # By place: after a rebalance, as a machine that stood still for seconds has, messages come again.
                self._read[polled.partition] = max(self._read.get(polled.partition, 0), polled.offset + 1)
        if messages and not self._began:
            self._began = monotonic()
        if sum(self._read.values()) < self._expected:
            return messages
        # Ends seen before the last message are behind what the engine expects by now: it passes over them.
        ends, self._ends = list(self._ends.values()), {}
        return [*messages, *ends]

    def unassign(self, partitions: Collection[Partition]) -> None:
        """Let partitions go; their ends, kept back so far, would hide messages that are to be read again."""
        super().unassign(partitions)
        for partition in partitions:
            self._ends.pop(partition, None)

    def report(self, offsets: Mapping[Partition, int]) -> None:
        """Take note of what is committed, and pass it on."""
        super().report(offsets)
        self._stored.update(offsets)
        if self._sender is None and sum(self._stored.values()) >= self._backlog:
            self._caught_up = monotonic()
            self._sender = Thread(target=self._send, name="fulgor-demo-live", daemon=True)
            self._sender.start()

    def _send(self) -> None:
        try:
            self._send_live()
        except Exception as error:  # noqa: BLE001 - raised again on the polling thread
            self._failure = error

"""An archive onto a Kafka topic: each message once, in order, every delivery report looked at.

The producer is idempotent and waits for all replicas. A recorded message keeps its key, its headers and
its partition (modulo the topic's number of them); a file's key is its name in the archive, so a row can be
traced to it (a compacted topic therefore keeps the newest of each name). The Kafka timestamp is now, since a
broker deletes what is older than its retention; the original time travels in the header ``fulgor-time-ms``
as decimal text, unless it has come in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Final

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.kafkasettings import producer_config
from fulgor.errors import ArchiveError, SettingsError, TopicError
from fulgor.replay.archived import TIME_HEADER, Archive, ArchivedMessage
from fulgor.replay.delivered import ProduceReport
from fulgor.replay.pace import Pace, choose_pace
from fulgor.replay.selection import Selection
from fulgor.replay.sender import Sender, check_size
from fulgor.replay.topic import open_topic

__all__ = ["TIME_HEADER", "ProduceOptions", "ProduceReport", "produce"]

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
    selection : Selection
        Which messages; all by default.
    """

    rate: float | None = None
    speed: float | None = None
    loop: int = 1
    limit: int | None = None
    keep_timestamps: bool = False
    create: int | None = None
    selection: Selection = field(default_factory=Selection)


def produce(
    archive: Archive,
    topic: str,
    cluster: Cluster,
    options: ProduceOptions | None = None,
    on_progress: Callable[[ProduceReport], None] | None = None,
    stopping: Event | None = None,
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
    stopping : Event, optional
        Ends the sending; set it in a signal handler.

    Returns
    -------
    ProduceReport
        Also when it was stopped: what was under way then is waited for.

    Raises
    ------
    SettingsError
        A setting or option cannot be used.
    BrokerError
        The broker refuses us, or did not acknowledge a message.
    TopicError
        The topic does not exist, or refuses a message (its size, its timestamp).
    ArchiveError
        The archive is cut or damaged, or empty, or nothing in it is selected; what came before the damage is
        delivered.
    """
    options = options or ProduceOptions()
    pace = choose_pace(options.rate, options.speed)
    config = _full_config(cluster.config, options)
    target = open_topic(cluster, topic, create=options.create)
    if archive.largest is not None:
        check_size(target, *archive.largest)
    sender = Sender(target, config, keep_timestamps=options.keep_timestamps, stopping=stopping)
    chosen = _Chosen(archive, options, pace)
    try:
        _send(sender, chosen, pace, on_progress or (lambda _: None))
    except KeyboardInterrupt:
        sender.finish()
        return _conclude(sender, chosen, archive, interrupted=True)
    if chosen.passed_over and not sender.report.sent:
        none = f"none of {chosen.passed_over} messages meets {options.selection}"
        raise ArchiveError(f"{archive.path}: nothing to send: {none}")
    return _conclude(sender, chosen, archive, interrupted=False)


def _send(sender: Sender, chosen: _Chosen, pace: Pace, on_progress: Callable[[ProduceReport], None]) -> None:
    """Send the messages and wait for their reports; an error in the middle says how many are there."""
    try:
        for message in chosen:
            sender.send(message, pace)
            on_progress(sender.report)
    except (ArchiveError, TopicError) as error:
        sender.finish()
        if not sender.report.delivered:
            raise
        raise type(error)(f"{error} ({sender.report.delivered} messages before it are delivered)") from error
    sender.finish()


def _full_config(config: Mapping[str, Any], options: ProduceOptions) -> dict[str, Any]:
    for name, count in (("--loop", options.loop), ("--limit", options.limit), ("--create", options.create)):
        if count is not None and count < 1:
            raise SettingsError(f"{name} {count}: must be at least 1")
    paced = {"linger.ms": 0} if options.rate is not None or options.speed is not None else {}
    return producer_config(config, {**DEFAULTS, **paced})


class _Chosen:
    """The messages to send, and a count of the others.

    Parameters
    ----------
    archive : Archive
        Read as often as asked for.
    options : ProduceOptions
        Repetitions, limit, selection.
    pace : Pace
        Told when the archive begins again.
    """

    def __init__(self, archive: Archive, options: ProduceOptions, pace: Pace) -> None:
        self.passed_over = 0
        self._archive = archive
        self._options = options
        self._pace = pace

    def __iter__(self) -> Iterator[ArchivedMessage]:
        left = self._options.limit
        for _ in range(self._options.loop):
            for message in self._archive:
                if message not in self._options.selection:
                    self.passed_over += 1
                    continue
                yield message
                left = None if left is None else left - 1
                if left == 0:
                    return
            self._pace.restart()


def _conclude(sender: Sender, chosen: _Chosen, archive: Archive, *, interrupted: bool) -> ProduceReport:
    return replace(
        sender.report,
        others=dict(archive.others),
        problems=tuple(archive.problems),
        interrupted=interrupted,
        passed_over=chosen.passed_over,
        lateness=sender.lateness,
    )

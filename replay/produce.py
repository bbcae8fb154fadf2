"""An archive onto a Kafka topic: each message once, in order, every delivery report looked at.

The producer is idempotent and waits for all replicas. A message's key is its name in the archive, so
a row can be traced to its file (a compacted topic therefore keeps the newest of each name). Its Kafka
timestamp is now, since a broker deletes what is older than its retention; the original time travels
in the header ``fulgor-time-ms`` as decimal text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.errors import ArchiveError, SettingsError, TopicError
from fulgor.replay.archive import Archive, ArchivedMessage
from fulgor.replay.pace import Pace, choose_pace
from fulgor.replay.sender import TIME_HEADER, ProduceReport, Sender, check_size
from fulgor.replay.topic import open_topic

__all__ = ["TIME_HEADER", "ProduceOptions", "ProduceReport", "produce"]

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
        check_size(target, *archive.largest)
    sender = Sender(target, config, keep_timestamps=options.keep_timestamps)
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


def _conclude(sender: Sender, archive: Archive, *, interrupted: bool) -> ProduceReport:
    return replace(
        sender.report, others=dict(archive.others), problems=tuple(archive.problems), interrupted=interrupted
    )

"""A recorder process from start to end: everything checked before the first message is read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

from fulgor.consumer.consume import kafka_source
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.settings import Settings
from fulgor.errors import ArchiveError, TopicError
from fulgor.replay.record.folder import RecordingFolder
from fulgor.replay.record.identify import Identify
from fulgor.replay.record.recorder import Recorder
from fulgor.replay.record.report import RecordOptions, RecordReport

__all__ = ["record"]

log = logging.getLogger(__name__)


def record(
    topic: str,
    out: Path,
    settings: Settings,
    options: RecordOptions,
    identify: Identify,
    stopping: Event,
    on_progress: Callable[[RecordReport, int], None] | None = None,
) -> RecordReport:
    """Record a topic until told to stop, or to its end.

    Parameters
    ----------
    topic : str
        Topic, or a pattern that begins with ``^``.
    out : Path
        The recording; made if it is absent, gone on with if it is there.
    settings : Settings
        The broker.
    options : RecordOptions
        How. An empty group means the recording's own: recorders of one folder share the work.
    identify : callable
        Finds the alerts of a message, for the index.
    stopping : Event
        Set to stop in good order.
    on_progress : callable, optional
        Called with the report so far and the number of messages in unfinished files.

    Returns
    -------
    RecordReport
        What this process did.

    Raises
    ------
    BrokerError, TopicError
        The broker cannot be reached, or there is no such topic.
    ArchiveError
        ``out`` is no recording, or of another cluster; a file of it is damaged; or the window holds no message.
    DiskFullError
        No space left; nothing half-written stays.
    """
    cluster = Cluster(settings.bootstrap, settings.kafka)
    _require(cluster, topic, until_end=options.until_end)  # a mistake makes no folder
    folder = RecordingFolder(out, cluster.id)
    options = replace(options, group=options.group or folder.marker.group)
    with folder.at_work():
        _clean(folder, identify)
        recorder = Recorder(kafka_source(settings, topic, options.group), folder, identify, options)
        report = recorder.run(stopping, on_progress)
    if options.window is not None and options.until_end and not (report.messages or report.known):
        raise ArchiveError(
            f"topic {topic!r} holds no message with a Kafka timestamp in {options.window}"
            f" ({report.outside} outside of it were read)"
        )
    return report


def _require(cluster: Cluster, topic: str, *, until_end: bool) -> None:
    if until_end and topic.startswith("^") and not cluster.matching(topic):
        raise TopicError(f"no topic of {cluster.bootstrap} matches {topic!r}, so it has no end to record to")
    cluster.require_topic(topic)


def _clean(folder: RecordingFolder, identify: Identify) -> None:
    removed, indexed = folder.clean(identify)
    for part in removed:
        log.warning("%s: left by a recorder that died; removed, its messages are read again", part)
    for file in indexed:
        log.warning("%s: had no index; made anew", file)

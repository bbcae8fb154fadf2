"""One consumer process, checked from end to end before the first message is read."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from types import FrameType

from fulgor import __version__
from fulgor.consumer.bounds import parse_start
from fulgor.consumer.claims import GroupStart
from fulgor.consumer.committer import Committer
from fulgor.consumer.endpoint import serving
from fulgor.consumer.engine import Engine, Limits
from fulgor.consumer.health import Health
from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.kafkaadmin import Cluster, check_pattern
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.preparation import check_preparation
from fulgor.consumer.publisher import Publisher, check_target, publishing
from fulgor.consumer.settings import Settings
from fulgor.consumer.source import Source
from fulgor.consumer.status import StatusLine, summary
from fulgor.consumer.stream import Predictor, Stream
from fulgor.consumer.switching import Loader, Switching, following
from fulgor.errors import ModelError
from fulgor.storage.database import ANSWER_S, connect, translated
from fulgor.storage.feeds import first_start
from fulgor.storage.migrate import check_schema
from fulgor.storage.outbox import Announcer
from fulgor.storage.registry import register_model

__all__ = ["Consumption", "announcer", "consume", "kafka_source", "register"]

log = logging.getLogger(__name__)
_EMBEDDED_SESSION_MS = 3_000


@dataclass(frozen=True, slots=True)
class Consumption:
    """What to consume: an instrument, its models, and where the rows go.

    Parameters
    ----------
    stream : Stream
        The instrument.
    predictor : Predictor
        The model whose rows account for the messages.
    database, group : str
        Where the rows go, and as which consumer group.
    shadows : sequence of Predictor
        Models whose rows stand beside.
    follow : callable, optional
        Loads a registered model. With it, the consumer takes over each model that is promoted or put into
        the live one's shadow while it runs; without, it stays with the models named here.
    """

    stream: Stream
    predictor: Predictor
    database: str
    group: str
    shadows: Sequence[Predictor] = ()
    follow: Loader | None = None


def kafka_source(settings: Settings, topic: str, group: str) -> KafkaSource:
    """Check the broker and the topic, and return a group member ready to subscribe.

    Raises
    ------
    TopicError
        The topic does not exist, or the pattern can match nothing.
    BrokerError
        The broker cannot be reached or refuses us.
    """
    if topic.startswith("^"):
        check_pattern(topic)
    cluster = Cluster(settings.bootstrap, settings.kafka)
    cluster.require_topic(topic)
    protocol = cluster.group_protocol(settings.group_protocol)
    log.info("broker %s, topic %s, group %s, protocol %s", settings.bootstrap, topic, group, protocol)
    session_timeout_ms = _session_timeout_ms(settings, cluster)
    if protocol == "consumer":
        cluster.set_session_timeout(group, session_timeout_ms)
    return KafkaSource(cluster, topic, group, protocol=protocol, session_timeout_ms=session_timeout_ms)


def _session_timeout_ms(settings: Settings, cluster: Cluster) -> int:
    """Return what was asked for; the embedded broker makes a group's first member wait half of it [measured]."""
    if cluster.is_embedded and "session_timeout_ms" not in settings.model_fields_set:
        return min(settings.session_timeout_ms, _EMBEDDED_SESSION_MS)
    return settings.session_timeout_ms


def consume(
    what: Consumption, open_source: Callable[[], Source], settings: Settings, *, title: str, until_end: bool = False
) -> Metrics:
    """Run one consumer until it is stopped by SIGTERM or SIGINT, or until the source's end.

    Parameters
    ----------
    what : Consumption
        Stream, model and database.
    open_source : callable
        Opens the source; called after database, schema and model were checked.
    settings : Settings
        Batch size, deadline, bounds, metrics port.
    title : str
        Shown on the status line.
    until_end : bool
        Stop at the end of every partition.

    Returns
    -------
    Metrics
        The counts of the run.
    """
    stream = what.stream
    parse_start(settings.start)
    lineup = register(what)
    source = open_source()
    begin = _first_start(what, source, settings.start)
    metrics, stopping = Metrics(), Event()
    _introduce(what, metrics)
    health = Health(metrics)
    publisher = _publisher(what, source, settings, metrics)
    pipeline = Pipeline(
        stream, lineup,
        batch_size=settings.batch_size, deadline_s=settings.deadline_ms / 1000, metrics=metrics,
    )  # fmt: skip
    owner = f"{socket.gethostname()}:{os.getpid()}"
    committer = Committer(
        what.database, stream.table,
        owner=owner, patience_s=settings.database_patience_s, drain_s=settings.drain_s,
        metrics=metrics, stopping=stopping,
        announce=announcer(settings, stream.name),
    )  # fmt: skip
    limits = Limits(settings.inbox_mb * 2**20, settings.drain_s, settings.database_patience_s)
    with (
        serving(settings.metrics_port, metrics.registry, health),
        StatusLine(metrics, title) as line,
        _signals(stopping),
        publishing(publisher, settings.drain_s),
        following(_switching(what, lineup, pipeline, metrics)),
    ):

        def tick() -> None:
            health.note(engine.state())
            line.tick()

        engine = Engine(
            source, pipeline, committer, begin,
            limits=limits, metrics=metrics, stopping=stopping, on_tick=tick,
        )  # fmt: skip
        health.watch(lambda: engine.dead_threads() + (publisher.dead_threads() if publisher else []))
        engine.run(until_end=until_end)
    log.info("finished: %s", summary(metrics))
    return metrics


def register(what: Consumption) -> Lineup:
    """Check tables and models, and return the models with their keys, entering those that are new.

    Raises
    ------
    ModelError
        A model was trained on another preparation, or is named twice.
    SchemaVersionError
        The tables are not this program's.
    """
    predictors = [what.predictor, *what.shadows]
    for predictor in predictors:
        check_preparation(what.stream, predictor.preprocessing_hash)
    with translated(what.database), connect(what.database, answer_s=ANSWER_S) as connection:
        check_schema(connection, what.stream.table)
        scorers = [Scorer(register_model(connection, one.card), one) for one in predictors]
    if len({scorer.model_id for scorer in scorers}) < len(scorers):
        raise ModelError("the same model is named twice: each scores an alert once")
    return Lineup(scorers[0], tuple(scorers[1:]))


def announcer(settings: Settings, stream: str) -> Announcer | None:
    """Return what puts anomalies into the outbox; None where none are to be sent."""
    if settings.alerts_to is None:
        return None
    return Announcer(settings.alerts_to, settings.alerts_above, stream)


def _switching(what: Consumption, lineup: Lineup, pipeline: Pipeline, metrics: Metrics) -> Switching | None:
    if what.follow is None:
        return None
    return Switching(what.database, what.stream, lineup, what.follow, pipeline.offer, metrics)


def _publisher(what: Consumption, source: Source, settings: Settings, metrics: Metrics) -> Publisher | None:
    if settings.alerts_to is None:
        return None
    cluster = Cluster(settings.bootstrap, settings.kafka)
    check_target(cluster, settings.alerts_to, source.partitions())
    return Publisher(what.database, cluster, settings.alerts_to, metrics)


def _first_start(what: Consumption, source: Source, start: str) -> GroupStart:
    with translated(what.database), connect(what.database, answer_s=ANSWER_S) as connection:
        found, partitions = first_start(
            connection, what.group, source.cluster, what.stream.name, start, source.partitions()
        )
    return GroupStart(what.group, found, partitions)


def _introduce(what: Consumption, metrics: Metrics) -> None:
    """Put version and model on the metrics page; the tables were just checked, so the database is up."""
    device = getattr(what.predictor, "device", "cpu")
    metrics.process_info.labels(__version__, what.stream.name, what.predictor.model_hash, device).set(1)
    metrics.show_models(what.predictor.model_hash, [shadow.model_hash for shadow in what.shadows])
    metrics.database_up.set(1)


@contextmanager
def _signals(stopping: Event) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a stop in good order; a second SIGINT interrupts at once."""

    def stop(number: int, _: FrameType | None) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    kept = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

"""One consumer process, checked from end to end before the first message is read."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import closing
from threading import Event

from fulgor import __version__
from fulgor.consumer.committer import Committer
from fulgor.consumer.endpoint import serving
from fulgor.consumer.engine import Engine, Limits
from fulgor.consumer.health import Health
from fulgor.consumer.history import StoredHistory
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.lineup import Lineup
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.patience import Patient
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.publisher import Publisher, check_target, publishing
from fulgor.consumer.settings import Settings
from fulgor.consumer.source import Source
from fulgor.consumer.startup import Consumption, kafka_source, start_up
from fulgor.consumer.status import StatusLine, summary
from fulgor.consumer.stopping import Stopping, stopped_by_signals
from fulgor.consumer.switching import Switching, following
from fulgor.models.device import held_bytes
from fulgor.storage.outbox import Announcer

__all__ = ["Consumption", "announcer", "consume", "kafka_source"]

log = logging.getLogger(__name__)


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
    started = start_up(what, open_source, settings.start)
    metrics, stopping = Metrics(), Stopping()
    _introduce(what, metrics)
    health = Health(metrics)
    publisher = _publisher(what, started.source, settings, metrics)
    recall = _recall(what, settings, metrics, stopping)
    pipeline = Pipeline(
        what.stream, started.lineup,
        batch_size=settings.batch_size, deadline_s=settings.deadline_ms / 1000, metrics=metrics, recall=recall,
    )  # fmt: skip
    switching = _switching(what, started.lineup, pipeline, metrics)
    with (
        stopped_by_signals(stopping),  # before anybody is told of the end point, and until all is closed
        closing(recall),
        serving(settings.metrics_port, metrics.registry, health),
        StatusLine(metrics, title) as line,
        publishing(publisher, settings.drain_s),
        following(switching),
    ):

        def tick() -> None:
            health.note(engine.state())
            metrics.gpu_memory.set(held_bytes())
            line.tick()

        engine = Engine(
            started.source, pipeline, _committer(what, settings, metrics, stopping), started.begin,
            limits=Limits(settings.inbox_mb * 2**20, settings.drain_s, settings.database_patience_s),
            metrics=metrics, stopping=stopping, on_tick=tick,
        )  # fmt: skip
        aside = [one for one in (publisher, switching) if one is not None]
        health.watch(lambda: engine.dead_threads() + [name for one in aside for name in one.dead_threads()])
        metrics.interrupted = not engine.run(until_end=until_end) and until_end
    told = "; 'fulgor dead list' says why" if metrics.value("fulgor_records_total", outcome="dead") else ""
    done = "stopped before the end, where the same command goes on" if metrics.interrupted else "finished"
    log.info("%s: %s%s", done, summary(metrics), told)
    return metrics


def announcer(settings: Settings, stream: str) -> Announcer | None:
    """Return what puts anomalies into the outbox; None where none are to be sent."""
    if settings.alerts_to is None:
        return None
    return Announcer(settings.alerts_to, settings.alerts_above, stream)


def _recall(what: Consumption, settings: Settings, metrics: Metrics, stopping: Event) -> StoredHistory:
    patient = Patient(
        what.database, f"{_owner()} history", patience_s=settings.database_patience_s, drain_s=settings.drain_s,
        metrics=metrics, stopping=stopping,
    )  # fmt: skip
    return StoredHistory(patient, what.stream.name)


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _committer(what: Consumption, settings: Settings, metrics: Metrics, stopping: Event) -> Committer:
    return Committer(
        what.database, what.stream.table, owner=_owner(),
        patience_s=settings.database_patience_s, drain_s=settings.drain_s, metrics=metrics, stopping=stopping,
        announce=announcer(settings, what.stream.name),
    )  # fmt: skip


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


def _introduce(what: Consumption, metrics: Metrics) -> None:
    """Put version and model on the metrics page; the tables were just checked, so the database is up."""
    device = getattr(what.predictor, "device", "cpu")
    metrics.process_info.labels(__version__, what.stream.name, what.predictor.model_hash, device).set(1)
    metrics.show_models(what.predictor.model_hash, [shadow.model_hash for shadow in what.shadows])
    metrics.database_up.set(1)

"""The demo from the first server to the last figure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

from fulgor.consumer.consume import Consumption, consume
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.settings import Settings, load_settings
from fulgor.demo.picture import draw_night, make_folder
from fulgor.demo.plan import Night, next_night
from fulgor.demo.report import DemoReport, Outcome
from fulgor.demo.results import read_night
from fulgor.demo.simulation import simulator
from fulgor.demo.source import NightSource
from fulgor.demo.traffic import PARTITIONS, Traffic, Trickle, send, traffic
from fulgor.embedded.broker import EmbeddedBroker
from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.storage.database import connect, translated
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import instrument, instrument_names, stream_table

__all__ = ["PICTURE", "Options", "Teller", "run_demo"]

PICTURE = "night.png"
_LIVE_RATE = 25.0


class Teller(Protocol):
    """Who tells the user how far the demo is."""

    def step(self, what: str, detail: str) -> None:
        """Tell that a step is done."""
        ...

    def simulated(self, done: int, total: int) -> None:
        """Tell how many alerts are simulated; the last call has ``done == total``."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose: number of alerts, folder for the picture, model and device."""

    count: int
    out: Path
    model: Path | None = None
    device: str | None = None


def run_demo(options: Options, teller: Teller) -> DemoReport:
    """Run everything; the broker and the simulation end with it in any case, Postgres stays.

    Parameters
    ----------
    options : Options
        What the user chose.
    teller : Teller
        Told of each step.

    Raises
    ------
    KeyboardInterrupt
        It was interrupted; what was committed stays.
    FulgorError
        A step failed; the message says which and what to do.
    """
    began = monotonic()
    make_folder(options.out)
    settings = load_settings({"model": options.model, "device": options.device})
    database = _database(teller)
    night = next_night(database)
    with EmbeddedBroker() as broker, simulator(night, options.count) as simulation:
        teller.step("broker", f"{broker.bootstrap}, in memory; it ends with the demo")
        # The user's own broker and topic are not meant here.
        settings = settings.model_copy(update={"bootstrap": broker.bootstrap, "kafka": {}, "start": "earliest"})
        what = _consumption(settings, database, night)
        teller.step("model", f"{what.predictor.card['name']} {what.predictor.model_hash}")
        alerts = simulation.gather(lambda done: teller.simulated(done, options.count))
        teller.step("night", f"{night.date}, {len(alerts):,} alerts simulated")
        cluster = Cluster(settings.bootstrap, {})
        messages = traffic(alerts)
        send(messages.backlog, night.topic, cluster)
        teller.step("topic", _told(messages, night))
        source, metrics = _consume(what, settings, messages, night, cluster)
        teller.step("consumed", f"{int(metrics.value('fulgor_messages_total')):,} messages, group {night.group}")
        outcome = Outcome(database, night, messages, alerts, source, metrics, read_night(database, night.group))
        picture = options.out / PICTURE
        _draw(outcome, what, cluster, picture)
        teller.step("picture", str(picture))
    return outcome.report(str(picture), began)


def _database(teller: Teller) -> str:
    server = EmbeddedPostgres()
    ran = server.status().running
    database = server.up()
    with translated(database), connect(database, application="fulgor demo", vectors=False) as connection:
        migrate(connection, [stream_table(name) for name in instrument_names()])
    found = server.status()
    how = "already ran" if ran else "started"
    teller.step("Postgres", f"127.0.0.1:{found.port}, {how}, data in {found.data}")
    return database


def _consumption(settings: Settings, database: str, night: Night) -> Consumption:
    stream = instrument("ztf", settings)
    predictor = stream.load_model(settings.model or stream.default_model, settings.device, settings.threads)
    return Consumption(stream, predictor, database, night.group)


def _told(messages: Traffic, night: Night) -> str:
    return (
        f"{night.topic}: {len(messages.backlog):,} messages in {PARTITIONS} partitions,"
        f" {messages.broken} of them broken on purpose, {messages.repeated} sent twice;"
        f" {len(messages.live)} more arrive while the consumer runs"
    )


def _consume(
    what: Consumption, settings: Settings, messages: Traffic, night: Night, cluster: Cluster
) -> tuple[NightSource, Metrics]:
    source = NightSource(
        cluster, night.topic, night.group, backlog=len(messages.backlog), live=len(messages.live),
        send_live=Trickle(messages.live, night.topic, cluster, _LIVE_RATE),
    )  # fmt: skip
    metrics = consume(what, lambda: source, settings, title=night.topic, until_end=True)
    if metrics.value("fulgor_messages_total") < messages.count:
        raise KeyboardInterrupt  # the consumer itself answers a Ctrl-C by stopping in good order
    return source, metrics


def _draw(outcome: Outcome, what: Consumption, cluster: Cluster, path: Path) -> None:
    night, count = outcome.night.date, len(outcome.rows.alerts)
    done = f"{count:,} alerts from Kafka, scored and stored exactly once in Postgres"
    draw_night(
        outcome.rows, what.predictor.classes, outcome.truth, cluster, path,
        heading=f"One simulated night: {night.day} {night:%B %Y}",
        subheading=f"{done} · model {what.predictor.card['name']}",
    )  # fmt: skip

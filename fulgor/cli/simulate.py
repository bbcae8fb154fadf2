"""``fulgor simulate``: alerts from physics, to files or onto a topic."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from fulgor.errors import INTERRUPTED, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fulgor.replay.archive import Archive
    from fulgor.replay.simulate.ztf import SimulatedAlert

__all__ = ["app"]

app = typer.Typer(help="Simulated messages of an instrument, to files or onto a topic.", no_args_is_help=True)


@app.callback()
def _streams() -> None:
    """Keep the instrument a word of the command line, however few there are."""


@app.command()
def ztf(
    count: int = typer.Option(..., "--count", "-n", min=1, help="Number of alerts."),
    seed: int = typer.Option(..., "--seed", min=0, help="The same seed gives the same bytes."),
    out: Path | None = typer.Option(None, help="Folder for containers and labels.csv, or one file ending in .avro."),
    topic: str | None = typer.Option(None, "--topic", "-t", help="Topic to produce to, one alert a message."),
    bootstrap: str | None = typer.Option(None, help="Kafka bootstrap servers, host:port[,host:port]."),
    create: int | None = typer.Option(None, metavar="PARTITIONS", help="Create the topic if it does not exist."),
    rate: float | None = typer.Option(None, help="Messages per second to the topic; flat out by default."),
    start: float | None = typer.Option(None, help="Julian date of the season's first night."),
    nights: int | None = typer.Option(None, help="Length of the season."),
    config: Path | None = typer.Option(None, help="Config file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Simulate ZTF alerts (4.02 records of stars, supernovae, nuclei, asteroids and artefacts) in time order."""
    from fulgor.replay.simulate.ztf import simulate

    season: dict[str, Any] = {
        name: value for name, value in (("start", start), ("nights", nights)) if value is not None
    }
    alerts = partial(simulate, count, seed, **season)
    if out is not None and topic is None:
        done = _write(alerts, out)
    elif topic is not None and out is None:
        done = _send(alerts, count, topic, bootstrap=bootstrap, config=config, create=create, rate=rate)
    else:
        raise SettingsError("give either --out PATH or --topic TOPIC")
    typer.echo(json.dumps(done) if as_json else _sentence(done))


@app.command()
def leela(
    count: int = typer.Option(..., "--count", "-n", min=1, help="Number of chunks."),
    seed: int = typer.Option(..., "--seed", min=0, help="The same seed gives the same bytes."),
    out: Path | None = typer.Option(None, help="Folder for containers and the tables of the truth."),
    topic: str | None = typer.Option(None, "--topic", "-t", help="Topic to produce to, one chunk a message."),
    bootstrap: str | None = typer.Option(None, help="Kafka bootstrap servers, host:port[,host:port]."),
    create: int | None = typer.Option(None, metavar="PARTITIONS", help="Create the topic if it does not exist."),
    rate: float | None = typer.Option(None, help="Messages per second to the topic; flat out by default."),
    mode: str = typer.Option("raw", help="raw: contiguous, as of 2023; centred: band-passed peaks, as of 2018."),
    sites: int | None = typer.Option(None, help="Receivers, 5 to 11."),
    flashes: float | None = typer.Option(None, help="Mean number of flashes per second."),
    config: Path | None = typer.Option(None, help="Config file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Simulate chunks of a lightning location network, in the order of their delivery."""
    from fulgor.replay.simulate.leela import messages, simulate, write_archive
    from fulgor.replay.simulate.messages import as_archive

    if (out is None) == (topic is None):
        raise SettingsError("give either --out PATH or --topic TOPIC")
    chosen: Literal["raw", "centred"] = "centred" if mode == "centred" else "raw"
    if mode != chosen:
        raise SettingsError(f"--mode {mode}: raw or centred")
    storm: dict[str, Any] = {
        name: value for name, value in (("site_count", sites), ("rate", flashes)) if value is not None
    }
    chunks = partial(simulate, count, seed, mode=chosen, **storm)
    if out is not None:
        done = asdict(write_archive(chunks(), out)) | {"out": str(out)}
        said = f"{done['chunks']} chunks in {done['files']} containers ({done['bytes'] / 1e6:.1f} MB) in {out}"
    else:
        assert topic is not None  # noqa: S101 - one of the two is given
        archive = as_archive(lambda: messages(chunks()), count)
        done = _produce(archive, topic, bootstrap=bootstrap, config=config, create=create, rate=rate)
        said = f"{done['delivered']} chunks delivered to topic {topic!r} in {done['seconds']:.1f} s"
    typer.echo(json.dumps(done) if as_json else said)


def _write(alerts: Callable[[], Iterator[SimulatedAlert]], out: Path) -> dict[str, Any]:
    from fulgor.replay.simulate.ztf import write_archive

    summary = asdict(write_archive(alerts(), out))
    return summary | {"labels": str(summary["labels"]), "out": str(out)}


def _send(
    alerts: Callable[[], Iterator[SimulatedAlert]],
    count: int,
    topic: str,
    *,
    bootstrap: str | None,
    config: Path | None,
    create: int | None,
    rate: float | None,
) -> dict[str, Any]:
    from fulgor.replay.simulate.ztf.topic import as_archive

    archive = as_archive(alerts, count)
    return _produce(archive, topic, bootstrap=bootstrap, config=config, create=create, rate=rate)


def _produce(
    archive: Archive,
    topic: str,
    *,
    bootstrap: str | None,
    config: Path | None,
    create: int | None,
    rate: float | None,
) -> dict[str, Any]:
    from fulgor.consumer.kafkaadmin import Cluster
    from fulgor.consumer.settings import load_settings
    from fulgor.consumer.stopping import Stopping, stopped_by_signals
    from fulgor.replay.produce import ProduceOptions, produce

    settings = load_settings({"bootstrap": bootstrap}, config=config)
    cluster = Cluster(settings.bootstrap, settings.kafka)
    stopping = Stopping()
    with stopped_by_signals(stopping):
        report = produce(archive, topic, cluster, ProduceOptions(rate=rate, create=create), stopping=stopping)
    if report.interrupted:
        typer.echo(f"interrupted: {report.delivered} messages are delivered to topic {topic!r}", err=True)
        raise typer.Exit(INTERRUPTED)
    return asdict(report)


def _sentence(done: dict[str, Any]) -> str:
    if "out" in done:
        size = done["bytes"] / 1e6
        return (
            f"{done['alerts']} alerts in {done['files']} containers ({size:.1f} MB) in {done['out']}; {done['labels']}"
        )
    return f"{done['delivered']} alerts delivered to topic {done['topic']!r} in {done['seconds']:.1f} s"

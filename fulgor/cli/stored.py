"""``fulgor plot stored``: the picture of an alert in the database, from wherever its message lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.cli.pairs import kafka_pairs
from fulgor.cli.scope import MODEL, STREAM
from fulgor.cli.session import DATABASE, opened_by
from fulgor.errors import ArchiveError, BrokerError, MalformedError, SettingsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fulgor.consumer.settings import Settings
    from fulgor.storage.places import StoredPlace
    from fulgor.storage.results import ScoredAlert

__all__ = ["stored"]


def stored(
    alert: str = typer.Argument(
        metavar="ALERT", help="Id of an alert in the database: ZTF's candid, LEELA's chunk or pulse."
    ),
    stream: str = STREAM,
    out: Path = typer.Option(None, help="PNG, PDF or SVG file; by default ALERT.png."),
    recording: list[Path] = typer.Option([], help="Recording that may hold its message; repeatable."),
    model: str = MODEL,
    bootstrap: str = typer.Option(None, help="Kafka bootstrap servers, asked if no archive has the message."),
    kafka: list[str] = typer.Option(None, metavar="NAME=VALUE", help="librdkafka setting; secrets by FULGOR_KAFKA_..."),
    database: str = DATABASE,
    config: Path = typer.Option(None, help="Config file."),
) -> None:
    """Draw a stored alert, from the archive that it was read from, else from its topic.

    Of ZTF its stamps and light curve, of LEELA the chunk with its pulses.
    """
    from fulgor.consumer.settings import load_settings
    from fulgor.plots.files import write_figure
    from fulgor.storage.places import stored_places
    from fulgor.storage.queries import scored_alert

    flags = {"database": database, "bootstrap": bootstrap, "kafka": kafka_pairs(kafka)}
    if stream not in _PICTURES:
        raise SettingsError(f"--stream {stream}: pictures are drawn of {', '.join(_PICTURES)}")
    settings = load_settings(flags, config=config)
    with opened_by(settings) as connection:
        places = stored_places(connection, stream, alert)
        row = scored_alert(connection, stream, alert, model=model)
    picture = _PICTURES[stream](_message(places, recording, settings), alert, _line(row))
    path = out or Path(f"{alert.replace('/', '_')}.png")  # a site may be called anything
    write_figure(picture, path)
    typer.echo(path)


def _message(places: Sequence[StoredPlace], recordings: Sequence[Path], settings: Settings) -> bytes:
    """Return the message behind an alert: from files first, then from the topic, for which a broker has to answer."""
    from fulgor.consumer.kafkaadmin import Cluster
    from fulgor.replay.lookup import ARCHIVE, MessageFinder

    finder, silent = MessageFinder(recordings=recordings), ""
    found = finder.find(places)
    if not found and any(place.cluster != ARCHIVE for place in places):
        try:
            finder = MessageFinder(Cluster(settings.bootstrap, settings.kafka), recordings)
            found = finder.find(places)
        except BrokerError as error:
            silent = f"; {error}"
    if not found:
        reasons = "; ".join(finder.why_not(place) for place in places)
        what = "gone" if all(map(finder.reaches, places)) else "out of reach"
        raise ArchiveError(
            f"the alert's message is {what}: {reasons}{silent}; --recording names a folder that may hold it"
        )
    return next(iter(found.values()))


def _ztf(value: bytes, alert: str, line: str) -> Figure:
    from fulgor.plots.alert import alert_picture
    from fulgor.plots.ztf import alert_curve, alert_stamps
    from fulgor.preprocessing.ztf import ZtfDecoder

    for record in ZtfDecoder()(value):
        if not isinstance(record, MalformedError) and str(record.candid) == alert:
            return alert_picture(alert_stamps(record), alert_curve(record), f"{record.object_id}  {alert}", line)
    raise _made_anew(alert)


def _leela(value: bytes, alert: str, line: str) -> Figure:
    from fulgor.plots.leela import chunk_picture
    from fulgor.preprocessing.leela import LeelaDecoder, prepare

    for record in LeelaDecoder()(value):
        if not isinstance(record, MalformedError) and record.id == alert.partition("#")[0]:
            return chunk_picture(record, prepare(record), line=line)
    raise _made_anew(alert)


def _made_anew(alert: str) -> ArchiveError:
    return ArchiveError(f"the message at the place of alert {alert} does not hold it: the topic was made anew")


_PICTURES = {"ztf": _ztf, "leela": _leela}
"""By stream: from a message, the alert's id, and what a model made of it."""


def _line(row: ScoredAlert | None) -> str:
    if row is None:
        return "not scored by this model"
    parts = [f"{row.time:%Y-%m-%d %H:%M:%S} UTC"]
    if row.class_name is not None:
        chance = row.probabilities.get(row.class_name)
        parts.append(row.class_name if chance is None else f"{row.class_name} (p = {chance:.2f})")
    parts.append(f"no score: {row.unscorable}" if row.anomaly is None else f"anomaly {row.anomaly:.4f}")
    return ", ".join([*parts, f"model {row.model}"])

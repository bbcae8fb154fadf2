"""``fulgor latents``: neighbours, anomalies, objects and cones."""

from __future__ import annotations

from enum import StrEnum

import typer

from fulgor.cli.judge import judgements, label, rerank
from fulgor.cli.output import JSON, emit
from fulgor.cli.scope import MODEL, STREAM, stretch
from fulgor.cli.session import DATABASE, opened

__all__ = ["app"]

app = typer.Typer(help="Ask the results: neighbours, anomalies, objects, cones; judge them.", no_args_is_help=True)
app.command()(label)
app.command()(judgements)
app.command()(rerank)

_SCORED = ("alert", "object", "time", "class", "anomaly", "scores", "flags")


class Metric(StrEnum):
    """Distance between latents."""

    cosine = "cosine"
    l2 = "l2"


@app.command()
def nearest(
    alert: str = typer.Argument(help="Id of the alert (ZTF: candid)."),
    limit: int = typer.Option(10, "--limit", "-k", help="How many neighbours."),
    metric: Metric = typer.Option(Metric.cosine, help="Distance between latents."),
    other_objects: bool = typer.Option(False, "--other-objects", help="Leave out alerts of the same object."),
    stream: str = STREAM,
    model: str = MODEL,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show the alerts whose latents are nearest to an alert's."""
    from fulgor.storage import queries

    with opened(database) as connection:
        rows = queries.nearest(
            connection, stream, alert, limit, model=model, metric=metric.value, other_objects=other_objects
        )
    emit(rows, ("distance", *_SCORED), as_json=as_json)


@app.command()
def anomalies(
    night: str = typer.Option(None, "--night", help="UTC day, YYYY-MM-DD."),
    since: str = typer.Option(None, "--since", help="ISO time; UTC where it names no zone."),
    until: str = typer.Option(None, "--until", help="ISO time, itself left out."),
    class_name: str = typer.Option(None, "--class", help="Only alerts that the model holds for this class."),
    limit: int = typer.Option(20, "--limit", help="How many at most."),
    stream: str = STREAM,
    model: str = MODEL,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show the strangest alerts of a night or of any stretch of time."""
    from fulgor.storage import queries

    start, end = stretch(night, since, until)
    with opened(database) as connection:
        rows = queries.anomalies(
            connection, stream, since=start, until=end, limit=limit, class_name=class_name, model=model
        )
    emit(rows, _SCORED, as_json=as_json)


@app.command(name="object")
def object_(
    object_id: str = typer.Argument(metavar="OBJECT", help="Id of the object (ZTF: objectId)."),
    limit: int = typer.Option(1000, "--limit", help="The latest so many."),
    stream: str = STREAM,
    model: str = MODEL,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show all alerts of an object through time; --json holds their latents."""
    from fulgor.storage import queries

    with opened(database) as connection:
        rows = queries.object_history(connection, stream, object_id, limit=limit, model=model)
    emit(rows, ("time", "alert", "class", "anomaly", "scores", "flags", "unscorable"), as_json=as_json)


# A declination may be negative, which must not be taken for an option.
@app.command(context_settings={"ignore_unknown_options": True})
def cone(
    ra: float = typer.Argument(help="Right ascension, degrees."),
    dec: float = typer.Argument(help="Declination, degrees."),
    radius: float = typer.Argument(help="Arcseconds."),
    limit: int = typer.Option(1000, "--limit", help="How many at most, the nearest first."),
    stream: str = STREAM,
    model: str = MODEL,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show the alerts within an angle of a place."""
    from fulgor.storage import queries

    with opened(database) as connection:
        rows = queries.cone(connection, stream, ra, dec, radius, limit=limit, model=model)
    emit(rows, ("separation", "ra", "dec", *_SCORED), as_json=as_json)

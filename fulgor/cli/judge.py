"""``fulgor latents label`` and its kin: judge alerts, and have the judgements re-rank a night."""

from __future__ import annotations

import getpass
from enum import StrEnum

import typer

from fulgor.cli.output import JSON, emit, emit_one
from fulgor.cli.scope import MODEL, STREAM, stretch
from fulgor.cli.session import DATABASE, opened

__all__ = ["judgements", "label", "rerank"]

_JUDGED = ("judged_at", "judged_by", "alert", "object", "interesting", "note")
_RANKED = ("alert", "object", "time", "class", "anomaly", "flags")


class Answer(StrEnum):
    """Whether an alert is interesting."""

    yes = "yes"
    no = "no"


def label(
    alert: str = typer.Argument(help="Id of the alert (ZTF: candid)."),
    answer: Answer = typer.Argument(help="Whether it is interesting."),
    by: str = typer.Option(None, "--by", help="Who judges; default: the user of this machine."),
    note: str = typer.Option(None, "--note", help="Why."),
    stream: str = STREAM,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Keep a judgement of an alert, which 'latents rerank' learns from; the latest of an alert counts."""
    from fulgor.storage.judgements import add_judgement

    with opened(database) as connection:
        kept = add_judgement(
            connection, stream, alert, interesting=answer is Answer.yes, by=by or getpass.getuser(), note=note
        )
    emit_one(kept, as_json=as_json)


def judgements(
    limit: int = typer.Option(100, "--limit", min=1, max=1_000_000, help="How many at most, the newest first."),
    stream: str = STREAM,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show what was judged, and by whom."""
    from fulgor.storage.judgements import judgements as read

    with opened(database) as connection:
        emit(read(connection, stream, limit=limit), _JUDGED, as_json=as_json)


def rerank(
    night: str = typer.Option(None, "--night", help="UTC day, YYYY-MM-DD."),
    since: str = typer.Option(None, "--since", help="ISO time; UTC where it names no zone."),
    until: str = typer.Option(None, "--until", help="ISO time, itself left out."),
    limit: int = typer.Option(20, "--limit", min=1, max=1_000_000, help="How many at most."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of the forest."),
    stream: str = STREAM,
    model: str = MODEL,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show what to look at next: alerts that nobody has judged, in the order that all judgements so far suggest.

    With no judgement yet, the order is that of 'latents anomalies'.
    """
    import numpy as np

    from fulgor.models.scores.rerank import rerank as order
    from fulgor.storage.judgements import candidates, judged_latents
    from fulgor.storage.results import model_of

    start, end = stretch(night, since, until)
    with opened(database) as connection:
        which = model_of(connection, stream, model)
        alerts, latents = candidates(connection, which, since=start, until=end)
        judged = judged_latents(connection, which)
    anomaly = np.array([row.anomaly for row in alerts], dtype=np.float64)
    places = order(latents, anomaly, judged.latents, judged.interesting, seed=seed)
    emit([alerts[place] for place in places[:limit].tolist()], _RANKED, as_json=as_json)

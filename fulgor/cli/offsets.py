"""``fulgor offsets``: where each group goes on, and how an operator changes that."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.cli.output import JSON, emit
from fulgor.cli.pairs import kafka_pairs
from fulgor.cli.session import DATABASE
from fulgor.errors import BrokerError

if TYPE_CHECKING:
    from fulgor.consumer.settings import Settings
    from fulgor.storage.database import Connection
    from fulgor.storage.offsets import Operator

__all__ = ["app"]

app = typer.Typer(
    help="Where each consumer group goes on. Kafka's own tools show these offsets but do not decide them.",
    no_args_is_help=True,
)

GROUP = typer.Option(..., "--group", help="Consumer group.")
TOPIC = typer.Option(..., "--topic", help="Topic, or the path of an archive.")
NOTE = typer.Option(None, "--note", help="Why; kept with your name in fulgor.offset_audit.")
BOOTSTRAP = typer.Option(None, "--bootstrap", help="Kafka bootstrap servers.")
KAFKA = typer.Option(None, "--kafka", help="librdkafka setting, name=value; repeatable.")
CONFIG = typer.Option(None, "--config", help="Config file (TOML).")
_COLUMNS = (
    "group", "topic", "partition", "segment", "next_offset", "end", "lag", "owner", "claimed_at", "released_at",
)  # fmt: skip
_CHANGED = ("group", "topic", "partition", "action", "segment", "old_offset", "new_offset")


@app.command(name="list")
def list_(
    group: str = typer.Option(None, "--group", help="Only this consumer group's."),
    topic: str = typer.Option(None, "--topic", help="Only of this topic."),
    bootstrap: str = BOOTSTRAP,
    kafka: list[str] = KAFKA,
    config: Path = CONFIG,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Show the stored offsets; with the partitions' ends and the lag where a broker is named and answers."""
    from fulgor.consumer.bounds import asking
    from fulgor.consumer.offsets import standings
    from fulgor.storage.offsets import read_offsets

    settings = _settings(bootstrap, kafka, config, database)
    with _opened(settings) as connection:
        stored = read_offsets(connection, group=group, topic=topic)
    try:
        # Nobody waits for a broker that was never named.
        with asking(settings) if "bootstrap" in settings.model_fields_set else nullcontext() as broker:
            rows = standings(stored, broker)
    except BrokerError as error:
        typer.echo(f"without the broker's ends: {error}", err=True)
        rows = standings(stored, None)
    emit(rows, _COLUMNS, as_json=as_json)


@app.command(name="set")
def set_(
    to: str = typer.Argument(metavar="OFFSET", help="earliest, latest, an ISO time, or an offset."),
    group: str = GROUP,
    topic: str = TOPIC,
    partition: int = typer.Option(None, "--partition", min=0, help="Only this partition; by default all."),
    note: str = NOTE,
    bootstrap: str = BOOTSTRAP,
    kafka: list[str] = KAFKA,
    config: Path = CONFIG,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Make a group go on elsewhere; a running consumer follows within seconds.

    Back: a new segment of the ledger begins, and what is stored already is counted there as duplicates.
    Ahead: what lies between is skipped, and the ledger says so.
    """
    from fulgor.consumer.offsets import set_offsets
    from fulgor.consumer.targets import Target

    settings = _settings(bootstrap, kafka, config, database)
    with _opened(settings) as connection:
        changes = set_offsets(connection, settings, Target(group, topic, partition), to, _operator(note))
    emit(changes, _CHANGED, as_json=as_json)


@app.command()
def skip(
    offsets: str = typer.Argument(metavar="OFFSETS", help="One, such as 17, or the first and the last, such as 17-20."),
    group: str = GROUP,
    topic: str = TOPIC,
    partition: int = typer.Option(..., "--partition", min=0, help="Of which partition."),
    note: str = NOTE,
    bootstrap: str = BOOTSTRAP,
    kafka: list[str] = KAFKA,
    config: Path = CONFIG,
    database: str = DATABASE,
    as_json: bool = JSON,
) -> None:
    """Pass over messages that are not read yet: at once, or when the consumer comes there.

    An order for offsets ahead stands until the group is rewound.
    """
    from fulgor.consumer.offsets import skip_offsets
    from fulgor.consumer.targets import Target, parse_range

    wanted = parse_range(offsets)
    settings = _settings(bootstrap, kafka, config, database)
    with _opened(settings) as connection:
        change = skip_offsets(connection, settings, Target(group, topic, partition), wanted, _operator(note))
    emit([change], _CHANGED, as_json=as_json)


def _settings(bootstrap: str | None, kafka: list[str] | None, config: Path | None, database: str | None) -> Settings:
    from fulgor.consumer.settings import load_settings

    flags = {"bootstrap": bootstrap, "kafka": kafka_pairs(kafka), "database": database}
    return load_settings(flags, config=config)


@contextmanager
def _opened(settings: Settings) -> Iterator[Connection]:
    from fulgor.cli.services import database_url
    from fulgor.storage.database import connect, translated
    from fulgor.storage.migrate import check_core

    url = database_url(settings)
    with translated(url), connect(url, application="fulgor offsets", vectors=False) as connection:
        check_core(connection)
        yield connection


def _operator(note: str | None) -> Operator:
    from fulgor.storage.offsets import Operator

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        user = str(os.getuid())
    return Operator(f"{user}@{socket.gethostname()}", note)

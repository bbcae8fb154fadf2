"""``fulgor doctor``: will a consumer start here, and if not, why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fulgor.cli.output import JSON, jsonable, shown
from fulgor.cli.pairs import kafka_pairs

if TYPE_CHECKING:
    from fulgor.doctor import Check

__all__ = ["doctor"]


def doctor(
    stream: str = typer.Argument("ztf", help="Instrument."),
    topic: str = typer.Option(None, help="Topic, or a pattern that begins with ^."),
    bootstrap: str = typer.Option(None, help="Kafka bootstrap servers."),
    database: str = typer.Option(None, help="Postgres URL, without a password."),
    device: str = typer.Option(None, help="auto, cpu or cuda."),
    model: Path = typer.Option(None, help="Folder of a model; by default the one that ships with fulgor."),
    alerts_to: str = typer.Option(None, help="Topic that anomalies would be sent to."),
    kafka: list[str] = typer.Option(None, help="librdkafka setting, name=value; repeatable."),
    config: Path = typer.Option(None, help="Config file (TOML)."),
    as_json: bool = JSON,
) -> None:
    """Check settings, packages, device, model, database and broker; leaves with the code of the first error."""
    from fulgor.doctor import Request, run

    flags = {
        "topic": topic, "bootstrap": bootstrap, "database": database, "device": device, "model": model,
        "alerts_to": alerts_to, "kafka": kafka_pairs(kafka),
    }  # fmt: skip
    checks = run(Request(stream, flags, config))
    code = next((check.exit_code for check in checks if check.exit_code), 0)
    if as_json:
        typer.echo(json.dumps({"ok": code == 0, "exit_code": code, "checks": jsonable(checks)}))
    else:
        _print(checks)
    raise typer.Exit(code)


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{check.level:<8}{check.name:<{width}}  {shown(check.message)}")

"""What commands print: a table on a terminal, tab-separated text in a pipe, JSON where it is asked for."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any

import typer

__all__ = ["JSON", "as_mapping", "emit", "emit_one", "jsonable", "shown"]

JSON = typer.Option(False, "--json", help="Print JSON.")

_NAMES = {"class_name": "class"}  # as the tables' columns are called
# Text of a message may hold escape sequences that a terminal would obey, and tabs that would break the columns.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def emit(rows: Sequence[object], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows: as JSON whole, as text only the named columns.

    Parameters
    ----------
    rows : sequence of dataclass or mapping
        What to print.
    columns : sequence of str
        Fields to show in a table.
    as_json : bool
        Print one JSON array instead.
    """
    if as_json:
        typer.echo(json.dumps([jsonable(row) for row in rows], allow_nan=False))
        return
    found = [as_mapping(row) for row in rows]
    if sys.stdout.isatty():
        _rich_table(found, columns)
    else:
        typer.echo("\t".join(columns))
        for row in found:
            typer.echo("\t".join(shown(row[name]) for name in columns))


def emit_one(row: object, *, as_json: bool) -> None:
    """Print one row, a field a line."""
    if as_json:
        typer.echo(json.dumps(jsonable(row), allow_nan=False))
        return
    found = as_mapping(row)
    width = max(map(len, found)) if sys.stdout.isatty() else 0
    separator = "  " if width else "\t"
    for name, value in found.items():
        typer.echo(f"{name:<{width}}{separator}{shown(value)}")


def as_mapping(row: object) -> dict[str, Any]:
    """Return a dataclass's or a mapping's fields by the names that users see."""
    if is_dataclass(row):
        return {_NAMES.get(field.name, field.name): getattr(row, field.name) for field in fields(row)}
    if isinstance(row, Mapping):
        return {str(name): value for name, value in row.items()}
    raise TypeError(f"cannot print a {type(row).__name__}")


def jsonable(value: object) -> Any:
    """Return what JSON can hold: times as ISO text in UTC, bytes as hex, NaN and infinity as null, arrays as lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if hasattr(value, "_asdict"):
        return jsonable(value._asdict())
    if is_dataclass(value) or isinstance(value, Mapping):
        return {name: jsonable(part) for name, part in as_mapping(value).items()}
    if isinstance(value, Sequence | set | frozenset):
        return [jsonable(part) for part in value]
    if hasattr(value, "tolist"):  # numpy, without importing it
        return jsonable(value.tolist())
    raise TypeError(f"cannot print a {type(value).__name__} as JSON")


def shown(value: object) -> str:
    """Return a value as one line of text without control characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    text = value if isinstance(value, str) else json.dumps(jsonable(value)).strip('"')
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def _rich_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numbers = any(isinstance(row[name], int | float) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row[name])) for name in columns))  # Text: what a message says is no markup
    Console().print(table)

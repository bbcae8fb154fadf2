"""``fulgor replay convert``: pickled field files to plain ones."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["convert"]


def convert(
    source: Path = typer.Argument(help="A pickled .npy of the LEELA network."),
    target: Path = typer.Argument(help="The plain .npy to write; `fulgor replay produce` takes it."),
    allow_pickle: bool = typer.Option(
        False, "--allow-pickle", help="Yes, unpickle it: I trust where it comes from. Only numpy's arrays are admitted."
    ),
) -> None:
    """Make a plain field file of a pickled one, once."""
    from fulgor.replay.convert import convert as run

    if allow_pickle:
        typer.echo(
            f"warning: {source} is unpickled; names other than numpy's arrays are refused, but take such files"
            " only from a source that you trust",
            err=True,
        )
    typer.echo(f"{run(source, target, allow_pickle=allow_pickle)} chunks in {target}")

"""The tree of commands. Each group lives in a module of its name."""

from __future__ import annotations

import typer

from fulgor.cli import db, dead, jobs, latents, models, offsets, plot, plot_leela, replay, simulate
from fulgor.cli.consume import consume
from fulgor.cli.demo import demo
from fulgor.cli.doctor import doctor
from fulgor.cli.evaluate import evaluate
from fulgor.cli.ledger import ledger
from fulgor.cli.retrain import retrain
from fulgor.cli.stored import stored
from fulgor.cli.streams import streams
from fulgor.cli.train import train

__all__ = ["app"]

app = typer.Typer(
    name="fulgor",
    help="Streaming inference on alerts and waveforms: Kafka in, latents and scores in Postgres, exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(db.app, name="db")
app.add_typer(replay.app, name="replay")
app.add_typer(simulate.app, name="simulate")
app.add_typer(latents.app, name="latents")
app.add_typer(models.app, name="models")
app.add_typer(dead.app, name="dead")
app.add_typer(offsets.app, name="offsets")
app.add_typer(jobs.app, name="jobs")
for picture in (stored, plot_leela.chunk, plot_leela.periodogram, plot_leela.pulses, plot_leela.space):
    plot.app.command()(picture)
app.add_typer(plot.app, name="plot")
app.command()(consume)
app.command()(demo)
app.command()(doctor)
app.command()(evaluate)
app.command()(ledger)
app.command()(retrain)
app.command()(streams)
app.command()(train)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    """Print the version, or go on to the command."""
    if version:
        from fulgor import __version__

        typer.echo(f"fulgor {__version__}")
        raise typer.Exit

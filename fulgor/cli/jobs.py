"""``fulgor jobs``: downstream jobs."""

from __future__ import annotations

from pathlib import Path

import typer

from fulgor.cli.output import JSON, emit
from fulgor.cli.session import DATABASE, opened, opened_by

__all__ = ["app"]

app = typer.Typer(help="Downstream jobs: what tends the stored rows outside of the consumers.", no_args_is_help=True)


@app.command()
def run(
    every: float = typer.Option(None, "--every", min=1, help="Go on, with this many seconds between two rounds."),
    retry_gone: bool = typer.Option(
        False, "--retry-gone", help="late-history: look again for messages that were gone; their archive may be back."
    ),
    recording: list[Path] = typer.Option(
        [], metavar="RECORDING", help="late-history: look for messages here, too; what 'fulgor replay record' wrote."
    ),
    database: str = DATABASE,
    config: Path = typer.Option(None, help="Config file (TOML)."),
) -> None:
    """Run all jobs, once or until stopped (SIGTERM, Ctrl-C: after the job at hand; a second Ctrl-C at once)."""
    from fulgor.cli.logs import set_up_logging
    from fulgor.cli.services import database_url
    from fulgor.consumer.settings import load_settings
    from fulgor.consumer.stopping import Stopping, stopped_by_signals
    from fulgor.jobs import run_jobs
    from fulgor.replay.archived import require_recording
    from fulgor.storage.rescores import reopen

    set_up_logging()
    settings = load_settings({"database": database, "recordings": recording or None}, config=config)
    for path in settings.recordings:
        require_recording(path)  # now, not in the night when a row first needs it
    if retry_gone:
        with opened_by(settings) as connection:
            reopen(connection)
    stopping = Stopping()
    with stopped_by_signals(stopping):
        run_jobs(database_url(settings), settings, every_s=every, stopping=stopping)


@app.command()
def status(database: str = DATABASE, as_json: bool = JSON) -> None:
    """Show when each job ran last, what it did, and what waits for it."""
    from psycopg.rows import dict_row

    from fulgor.jobs import JOBS

    with opened(database) as connection, connection.cursor(row_factory=dict_row) as cursor:
        known = {row["name"]: row for row in cursor.execute("SELECT * FROM fulgor.job").fetchall()}
        waiting = {job.name: job.waiting(connection) for job in JOBS if job.waiting is not None}
    never = {"started_at": None, "finished_at": None, "outcome": "never run"}
    rows = [
        {"job": job.name, "about": job.about, **(known.get(job.name) or never), "waiting": waiting.get(job.name)}
        for job in JOBS
    ]
    emit(rows, ("job", "about", "started_at", "finished_at", "outcome", "waiting"), as_json=as_json)

"""Downstream jobs: work that joins or tends what consumers have stored, outside of their transactions.

Each job is idempotent and runs in one place at a time, whatever the number of runners.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from threading import Event

import psycopg

from fulgor.consumer.settings import Settings
from fulgor.errors import DatabaseError, FulgorError
from fulgor.storage.database import Connection, connect, transient, translated
from fulgor.storage.drift import measure_drift
from fulgor.storage.indexes import build, wanted
from fulgor.storage.rescores import read_backlog

__all__ = ["JOBS", "Job", "run_jobs"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A name, what it does in words, the function that does it and says what it did, and one that tells what waits."""

    name: str
    about: str
    run: Callable[[Connection, Settings], str]
    waiting: Callable[[Connection], str] | None = None


def _index_latents(connection: Connection, _settings: Settings) -> str:
    built = 0
    for what in wanted(connection):
        log.info("indexing %d latents of %s", what.rows, what.partition)
        built += build(connection, what)
    return f"{built} indexes built"


def _measure_nights(connection: Connection, _settings: Settings) -> str:
    measured, without = measure_drift(connection)
    for model in without:
        log.info("model %s (%s) has no sample to compare nights with", model.name, model.hash)
    return f"{measured} nights measured" + (f", {len(without)} models have no sample" if without else "")


def _join_chunks(connection: Connection, _settings: Settings) -> str:
    from fulgor.streams.leelajoin import join_chunks  # scipy, which the status of jobs does not need

    return join_chunks(connection)


def _locate_strokes(connection: Connection, settings: Settings) -> str:
    from fulgor.preprocessing.leela.nodes import read_nodes
    from fulgor.streams.leelastrokes import locate_strokes

    if settings.nodes is None:
        return "no list of receivers: set FULGOR_NODES, or nodes in the config file"
    return locate_strokes(
        connection, read_nodes(settings.nodes), edge=settings.edge_slowness, wave=settings.wave_slowness
    )


def _settle_history(connection: Connection, settings: Settings) -> str:
    from fulgor.latehistory import settle_history

    return settle_history(connection, settings)


JOBS: tuple[Job, ...] = (
    Job(
        "late-history",
        "rows computed again whose object's earlier alerts came after them",
        _settle_history,
        lambda connection: str(read_backlog(connection)),
    ),
    Job("leela-join", "pulses at the seams of contiguous LEELA chunks, revised with both sides known", _join_chunks),
    Job("leela-strokes", "pulses of several LEELA sites, located as strokes", _locate_strokes),
    Job("latent-index", "nearest-neighbour indexes on nights that are over", _index_latents),
    Job("drift", "each night's latents against the sample that was kept with their model", _measure_nights),
)


def run_jobs(database: str, settings: Settings, *, every_s: float | None, stopping: Event) -> None:
    """Run all jobs, once or again and again until told to stop.

    Parameters
    ----------
    database : str
        Its URL.
    settings : Settings
        What else the jobs are told, such as the list of receivers.
    every_s : float or None
        Seconds between two rounds; None runs one round.
    stopping : Event
        Ends the run after the job at hand.

    Raises
    ------
    DatabaseError
        The database refuses us; one that is only away is tried again in the next round.
    FulgorError
        A job failed, and there is no next round; the others had their turn.
    """
    settings = settings.model_copy(update={"database": database})
    while True:
        try:
            with translated(database), connect(database, application="fulgor jobs") as connection:
                failed = _round(connection, settings, stopping)
            if every_s is None and failed is not None:
                raise failed
        except Exception as error:
            if every_s is None or not _may_pass(error):
                raise
            log.warning("trying again in %.0f s: %s", every_s, error)
        if every_s is None or stopping.wait(every_s):
            return


def _may_pass(error: Exception) -> bool:
    cause = error.__cause__ or error
    return isinstance(cause, psycopg.Error) and transient(cause)


def _round(connection: Connection, settings: Settings, stopping: Event) -> FulgorError | None:
    """Run each job once; what one is refused costs no other its turn, and the first refusal is returned."""
    first: FulgorError | None = None
    for job in JOBS:
        if stopping.is_set():
            break
        if not _begin(connection, job):
            log.info("%s runs elsewhere", job.name)
            continue
        try:
            outcome = job.run(connection, settings)
            log.info("%s: %s", job.name, outcome)
        except DatabaseError:
            raise
        except FulgorError as error:
            log.error("%s: %s", job.name, error)
            outcome = f"failed: {error}"
            first = first or error
        _finish(connection, job, outcome)
    return first


def _begin(connection: Connection, job: Job) -> bool:
    """Tell whether nobody else runs a job, and lock it for this session if so."""
    taken = connection.execute("SELECT pg_try_advisory_lock(%s)", [_key(job)]).fetchone()
    if not (taken and taken[0]):
        return False
    connection.execute(
        "INSERT INTO fulgor.job (name, started_at) VALUES (%s, now()) ON CONFLICT (name)"
        " DO UPDATE SET started_at = now(), finished_at = NULL, outcome = NULL",
        [job.name],
    )
    return True


def _finish(connection: Connection, job: Job, outcome: str) -> None:
    connection.execute("UPDATE fulgor.job SET finished_at = now(), outcome = %s WHERE name = %s", [outcome, job.name])
    # Now, for the server ends a session some time after we have: the next run would find the job running elsewhere.
    connection.execute("SELECT pg_advisory_unlock(%s)", [_key(job)])


def _key(job: Job) -> int:
    return int.from_bytes(blake2b(job.name.encode(), digest_size=7).digest())

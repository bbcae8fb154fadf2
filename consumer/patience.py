"""A database that is waited for: work is tried again while it is away, or while others are in the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from time import monotonic, sleep
from typing import NoReturn, TypeVar

import psycopg

from fulgor.consumer.metrics import Metrics
from fulgor.errors import DatabaseError
from fulgor.storage.database import ANSWER_S, Connection, connect, contended, location, transient, translated

__all__ = ["Patient"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_RETRY_S = 0.5
# A process that is stopped (SIGSTOP, a laptop asleep) within its transaction would keep the feeds' rows locked, and the
# next owner waiting, for as long as it sleeps. Between two statements of ours lie milliseconds.
_IDLE_MS = 10_000


class Patient:
    """One connection, made when it is needed and made again when it was lost.

    Parameters
    ----------
    url : str
        The database.
    owner : str
        Shown among the server's sessions.
    patience_s : float
        How long to wait for a database that went away.
    drain_s : float
        How long at the most once the process shall end.
    metrics : Metrics
        Told whether the database answers.
    stopping : Event
        Set when the process shall end.
    """

    def __init__(
        self, url: str, owner: str, *, patience_s: float, drain_s: float, metrics: Metrics, stopping: Event
    ) -> None:
        self._url = url
        self._owner = owner
        self._patience_s = patience_s
        self._drain_s = drain_s
        self._metrics = metrics
        self._stopping = stopping
        self._connection: Connection | None = None
        self._stopped_at: float | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work, again and again if it must be; it is called anew on the connection of each try.

        Raises
        ------
        DatabaseError
            The database did not come back in time, or refuses what no waiting mends.
        """
        began = monotonic()
        while True:
            try:
                done = work(self.connected())
                self._metrics.database_up.set(1)
                return done
            except psycopg.Error as error:
                if not transient(error):
                    with translated(self._url):
                        raise
                problem: Exception = error
            except DatabaseError as error:
                problem = error
            self._note(problem)
            if monotonic() >= self._deadline(began):
                self._give_up(problem, monotonic() - began)
            sleep(_RETRY_S)

    def connected(self) -> Connection:
        """Return the connection, made anew if there is none."""
        if self._connection is None or self._connection.closed:
            connection = connect(self._url, application=f"fulgor {self._owner}", answer_s=ANSWER_S)
            connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [str(_IDLE_MS)])
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note(self, problem: Exception) -> None:
        self._metrics.database_retries.inc()
        log.warning("database %s %s, trying again: %s", location(self._url), _state(problem), problem)
        if not contended(problem):
            self.close()
            self._metrics.database_up.set(0)

    def _deadline(self, began: float) -> float:
        """Return when to give up: a process that shall end has no more time than a drain."""
        if self._stopped_at is None and self._stopping.is_set():
            self._stopped_at = monotonic()
        if self._stopped_at is None:
            return began + self._patience_s
        return min(began + self._patience_s, self._stopped_at + self._drain_s)

    def _give_up(self, problem: Exception, waited_s: float) -> NoReturn:
        if isinstance(problem, psycopg.errors.DiskFull):
            with translated(self._url):
                raise problem
        raise DatabaseError(
            f"database {location(self._url)} {_state(problem)}, for {waited_s:.0f} s by now: {problem}"
        ) from problem


def _state(problem: Exception) -> str:
    if contended(problem):
        return "has another session in the way"
    if isinstance(problem, psycopg.Error) and (problem.sqlstate or "").startswith("53"):
        return "is short of space, memory or connections"
    return "is away"

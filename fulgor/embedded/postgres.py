"""A real Postgres with pgvector for a machine that has none, from the package index, without Docker.

It listens on 127.0.0.1 only, on a port of its own, and lets nobody in without the password that
was generated for it (scram-sha-256), since every account of the machine can reach the loopback.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fulgor.embedded.account import run_as
from fulgor.embedded.cluster import SUPERUSER, Cluster, failure
from fulgor.embedded.home import ORPHANS_END_WITHIN_S, Credentials, Home, home_folder
from fulgor.embedded.install import installed_version, packages, programs
from fulgor.embedded.lifetime import spawn_tied, wait_gone
from fulgor.embedded.ports import LOOPBACK, any_port, is_free
from fulgor.errors import EmbeddedServiceError

__all__ = ["EmbeddedPostgres", "PostgresStatus"]

DATABASE = "fulgor"
_SEARCH_PATH = "options=-csearch_path%3Dfulgor%2Cpublic"


@dataclass(frozen=True, slots=True)
class PostgresStatus:
    """What is known of the embedded server without asking it.

    Attributes
    ----------
    running : bool
        It takes connections.
    pid, port : int or None
        Of the running server.
    home : Path
        The folder that names this server.
    data, log : Path or None
        Its data folder and log; ``None`` before the first start.
    """

    running: bool
    pid: int | None
    port: int | None
    home: Path
    data: Path | None
    log: Path | None


class EmbeddedPostgres:
    """The server of one home folder; any number of processes may hold one and call it at once.

    Parameters
    ----------
    home : Path, optional
        Folder for the data, the password and the lock; :func:`~fulgor.embedded.home.home_folder`
        by default.
    port : int, optional
        The port to listen on; by default a free one, which is kept for later starts.
    throwaway : bool
        For tests: the server dies with this process and does not fsync.
    """

    def __init__(self, home: Path | None = None, *, port: int | None = None, throwaway: bool = False) -> None:
        self._home = Home(home or home_folder())
        self._wanted_port = port
        self._throwaway = throwaway
        self._child: subprocess.Popen[bytes] | None = None

    def up(self, timeout: float = 300.0) -> str:
        """Start the server unless it runs, wait until it takes connections, and return its URL.

        Parameters
        ----------
        timeout : float
            Seconds to wait; a server that replays its log after a crash may need minutes.

        Returns
        -------
        str
            URL of the database ``fulgor``, with password and search path.

        Raises
        ------
        EmbeddedServiceError
            Not installed, the asked-for port is taken, or the server does not start: with the end
            of its log.
        DiskFullError
            No space for the data.
        """
        packages()  # not installed: say so before anything is made
        with self._home.exclusive():
            deadline = time.monotonic() + timeout
            cluster = self._cluster()
            known = self._credentials(cluster)
            cluster.initialise(known.password, durable=not self._throwaway, version=installed_version())
            if cluster.server() is None:
                self._start(cluster, known.port, deadline)
            port = _await_ready(cluster, deadline)
            if self._wanted_port not in (None, port):
                raise EmbeddedServiceError(f"the server already runs, on port {port}: 'fulgor db down' stops it")
            if port != known.port:
                self._home.remember(Credentials(known.password, port))
            _ensure_database(known.password, port)
        return _url(known.password, port)

    def down(self, timeout: float = 60.0) -> bool:
        """Stop the server cleanly; return False when none was running.

        Raises
        ------
        EmbeddedServiceError
            It does not stop, or it belongs to another user.
        """
        if self._home.place() is None:
            return False
        with self._home.exclusive():
            return self._stop(signal.SIGINT, timeout)

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL); the next :meth:`up` recovers."""
        self._stop(signal.SIGKILL, 60.0)

    def status(self) -> PostgresStatus:
        """Return what the pid file and the process table say; touches nothing."""
        home, place = self._home, self._home.place()
        if place is None:
            return PostgresStatus(False, None, None, home.path, None, None)
        cluster = Cluster(place, Path(), None)
        try:
            pid = cluster.server()
            port = cluster.ready_port() if pid is not None else None
        except PermissionError as error:
            raise home.unusable(error) from error
        return PostgresStatus(port is not None, pid, port, home.path, cluster.data, cluster.log)

    def url(self) -> str:
        """Return the URL of the running server.

        Raises
        ------
        EmbeddedServiceError
            It is not running.
        """
        port, known = self.status().port, self._home.credentials()
        if port is None or known is None:
            raise EmbeddedServiceError(f"no embedded Postgres runs in {self._home.path}: 'fulgor db up' starts it")
        return _url(known.password, port)

    @classmethod
    @contextmanager
    def temporary(cls, path: Path | None = None) -> Iterator[EmbeddedPostgres]:
        """Run a server for a test: started, tied to this process, deleted at the end.

        Parameters
        ----------
        path : Path, optional
            Its home; a new temporary folder by default.
        """
        server = cls(path or Path(tempfile.mkdtemp(prefix="fulgor-home-")), throwaway=True)
        try:
            server.up()
            yield server
        finally:
            server._stop(signal.SIGQUIT, 30.0)
            server._home.delete()

    def _cluster(self) -> Cluster:
        try:
            place, account = self._home.make_place(throwaway=self._throwaway)
        except OSError as error:
            raise self._home.unusable(error) from error
        return Cluster(place, programs(account, place), account)

    def _credentials(self, cluster: Cluster) -> Credentials:
        known = self._home.credentials()
        if known is not None:
            return known
        if cluster.data.exists():
            raise EmbeddedServiceError(
                f"the password of the database in {self._home.path} is gone (postgres.json): restore it, or move the "
                "folder away to start afresh"
            )
        fresh = Credentials(secrets.token_urlsafe(24), 0)
        self._home.remember(fresh)
        return fresh

    def _start(self, cluster: Cluster, kept_port: int, deadline: float) -> None:
        cluster.drop_reused_pid()
        cluster.trim_log()
        patience = min(deadline, time.monotonic() + ORPHANS_END_WITHIN_S)
        while True:
            port = self._choose_port(kept_port)
            start = cluster.log_size()
            complaint = self._launch(cluster, port, deadline)
            if cluster.server() is not None:
                return
            tail = cluster.log_tail(start) or complaint
            orphans = "shared memory block" in tail  # backends of a killed server, about to notice
            corpse = 'lock file "postmaster.pid"' in tail  # itself, which its parent is about to collect
            raced = "Address already in use" in tail and self._wanted_port is None
            if not (orphans or corpse or raced) or time.monotonic() > patience:
                raise failure(f"Postgres did not start (data in {cluster.data})", tail)
            time.sleep(0.2)

    def _choose_port(self, kept: int) -> int:
        if self._wanted_port is None:
            return kept if kept and is_free(kept) else any_port()
        if not is_free(self._wanted_port):
            raise EmbeddedServiceError(f"port {self._wanted_port} is taken by another program: name another one")
        return self._wanted_port

    def _launch(self, cluster: Cluster, port: int, deadline: float) -> str:
        """Start the server once and wait until it is ready or has ended; return what was printed."""
        seconds = max(1, int(deadline - time.monotonic()))
        if not self._throwaway:
            command: list[str | Path] = [
                cluster.programs / "pg_ctl",
                "start",
                "-w",
                "-s",
                "-t",
                str(seconds),
                "-D",
                cluster.data,
            ]
            done = run_as(cluster.account, [*command, "-l", cluster.log, "-o", f"-p {port}"], folder=cluster.place)
            return done.stderr
        with cluster.log.open("ab") as log:
            self._child = spawn_tied(
                [cluster.programs / "postgres", "-D", cluster.data, "-p", str(port)],
                output=log,
                death_signal=signal.SIGQUIT,
                account=cluster.account,
                environment={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
                folder=cluster.place,
            )
        while self._child.poll() is None and cluster.ready_port() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return ""

    def _stop(self, how: signal.Signals, timeout: float) -> bool:
        pid = self.status().pid
        if pid is None:
            return False
        try:
            os.kill(pid, how)
        except PermissionError as error:
            raise EmbeddedServiceError(f"the server (process {pid}) belongs to another user") from error
        except ProcessLookupError:
            return False
        if not wait_gone(pid, timeout):
            raise EmbeddedServiceError(f"Postgres (process {pid}) did not stop within {timeout:.0f} s")
        if self._child is not None:
            self._child.wait()
        return True


def _await_ready(cluster: Cluster, deadline: float) -> int:
    while (port := cluster.ready_port()) is None:
        if cluster.server() is None:
            raise failure(f"Postgres ended while starting (data in {cluster.data})", cluster.log_tail())
        if time.monotonic() > deadline:
            raise failure(f"Postgres is still starting (data in {cluster.data}): try again", cluster.log_tail())
        time.sleep(0.05)
    return port


def _url(password: str, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/{database}?{_SEARCH_PATH}"


def _ensure_database(password: str, port: int) -> None:
    import psycopg  # here, so that 'fulgor db status' does not pay for it

    try:
        with psycopg.connect(_url(password, port, "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(_url(password, port), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise failure("the embedded Postgres runs but refuses us", str(error)) from error

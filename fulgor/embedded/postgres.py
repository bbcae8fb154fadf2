"""A real Postgres with pgvector for a machine that has none, from the package index, without Docker.

It listens on 127.0.0.1 only, on a port of its own, and lets nobody in without the password that
was generated for it (scram-sha-256), since every account of the machine can reach the loopback.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fulgor.embedded.account import run_as, server_account
from fulgor.embedded.cluster import SUPERUSER, Cluster, failure
from fulgor.embedded.home import SYSTEM_HOME, exclusive, home_folder
from fulgor.embedded.install import installed_version, programs
from fulgor.embedded.lifetime import spawn_tied, wait_gone
from fulgor.errors import EmbeddedServiceError

__all__ = ["EmbeddedPostgres", "PostgresStatus"]

DATABASE = "fulgor"
_SEARCH_PATH = "options=-csearch_path%3Dfulgor%2Cpublic"
_ORPHANS_END_WITHIN_S = 15.0


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
        self.home = (home or home_folder()).absolute()
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
        with exclusive(self.home / "postgres.lock"):
            cluster = self._cluster(self._make_place())
            password = self._password(cluster)
            cluster.initialise(password, durable=not self._throwaway, version=installed_version())
            if cluster.server() is None:
                self._start(cluster, timeout)
            port = self._await_ready(cluster, timeout)
            self._check_port(port)
            self._remember(password, port)
            url = _url(password, port)
            _ensure_database(password, port)
        return url

    def down(self, timeout: float = 60.0) -> bool:
        """Stop the server cleanly; return False when none was running.

        Raises
        ------
        EmbeddedServiceError
            It does not stop, or it belongs to another user.
        """
        with exclusive(self.home / "postgres.lock"):
            return self._stop(signal.SIGINT, timeout)

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL); the next :meth:`up` recovers."""
        self._stop(signal.SIGKILL, 10.0)

    def status(self) -> PostgresStatus:
        """Return what the pid file and the process table say; touches nothing."""
        place = self._place()
        if place is None:
            return PostgresStatus(False, None, None, self.home, None, None)
        cluster = Cluster(place, Path(), None)
        try:
            port = cluster.ready_port()
            pid = cluster.server()
        except PermissionError as error:
            raise self._foreign(error) from error
        return PostgresStatus(port is not None, pid, port, self.home, cluster.data, cluster.log)

    def url(self) -> str:
        """Return the URL of the running server.

        Raises
        ------
        EmbeddedServiceError
            It is not running.
        """
        port = self.status().port
        if port is None:
            raise EmbeddedServiceError(f"no embedded Postgres runs in {self.home}: start it with 'fulgor db up'")
        return _url(self._state()["password"], port)

    @classmethod
    @contextmanager
    def temporary(cls, path: Path | None = None) -> Iterator[EmbeddedPostgres]:
        """Run a server for a test: started, tied to this process, deleted at the end.

        Parameters
        ----------
        path : Path, optional
            Its home; a new temporary folder by default.
        """
        home = Path(tempfile.mkdtemp(prefix="fulgor-home-")) if path is None else path
        server = cls(home, throwaway=True)
        try:
            server.up()
            yield server
        finally:
            server._stop(signal.SIGQUIT, 30.0)
            place = server._place()
            if place is not None:
                shutil.rmtree(place)
            shutil.rmtree(home)

    # Where things lie

    def _place(self) -> Path | None:
        place = self.home / "postgres"
        return place.resolve() if place.is_dir() else None

    def _make_place(self) -> Path:
        """Return the server's folder, made on the first start; root gives it to the account."""
        known = self._place()
        if known is not None:
            return known
        account = server_account(self.home / "postgres" / "data")
        place = self.home / "postgres"
        place.unlink(missing_ok=True)  # a link whose target was deleted
        if account is None:
            place.mkdir(mode=0o700)
            return place
        if account.can_enter(self.home):
            place.mkdir(mode=0o700)
        else:
            # A home below a closed folder, such as /root: leave its permissions alone, go elsewhere.
            place.symlink_to(self._elsewhere(), target_is_directory=True)
        os.chown(place, account.uid, account.gid)
        return place.resolve()

    def _elsewhere(self) -> Path:
        if self._throwaway:
            outer = Path(tempfile.mkdtemp(prefix="fulgor-postgres-"))
            outer.chmod(0o700)
            return outer
        outer = SYSTEM_HOME / f"at-{sha256(str(self.home).encode()).hexdigest()[:12]}"
        outer.mkdir(mode=0o700, parents=True, exist_ok=True)
        return outer

    def _cluster(self, place: Path) -> Cluster:
        try:
            account = server_account(place)
            return Cluster(place, programs(account, place), account)
        except PermissionError as error:
            raise self._foreign(error) from error

    def _foreign(self, error: PermissionError) -> EmbeddedServiceError:
        return EmbeddedServiceError(
            f"{error.filename or self.home} belongs to another user: run fulgor as that user, or set FULGOR_HOME"
        )

    # Password and port, kept in a file that only we read

    def _state(self) -> dict[str, str]:
        try:
            state: dict[str, str] = json.loads((self.home / "postgres.json").read_text())
        except FileNotFoundError as error:
            raise EmbeddedServiceError(
                f"{self.home / 'postgres.json'} is gone, and with it the password of the database in {self.home}: "
                "restore it, or move the folder away to start afresh"
            ) from error
        except PermissionError as error:
            raise self._foreign(error) from error
        return state

    def _password(self, cluster: Cluster) -> str:
        if cluster.data.exists() or (self.home / "postgres.json").exists():
            return self._state()["password"]
        password = secrets.token_urlsafe(24)
        self._remember(password, 0)
        return password

    def _remember(self, password: str, port: int) -> None:
        path, fresh = self.home / "postgres.json", self.home / "postgres.json.new"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump({"password": password, "port": str(port)}, file)
        fresh.replace(path)

    # Start and stop

    def _start(self, cluster: Cluster, timeout: float) -> None:
        cluster.drop_reused_pid()
        cluster.trim_log()
        deadline = time.monotonic() + min(timeout, _ORPHANS_END_WITHIN_S)
        while True:
            port = self._choose_port()
            start = cluster.log_size()
            if self._launch(cluster, port, timeout):
                return
            tail = cluster.log_tail(start)
            orphans = "shared memory block" in tail  # backends of a killed server, about to notice
            raced = "Address already in use" in tail and self._wanted_port is None
            if not (orphans or raced) or time.monotonic() > deadline:
                raise failure(f"Postgres did not start (data in {cluster.data})", tail)
            time.sleep(0.2)

    def _launch(self, cluster: Cluster, port: int, timeout: float) -> bool:
        """Start the server once; return False when it ended without becoming ready."""
        if not self._throwaway:
            command = [cluster.programs / "pg_ctl", "start", "-w", "-s", "-t", str(int(timeout)), "-D", cluster.data]
            command += ["-l", cluster.log, "-o", f"-p {port}"]
            return run_as(cluster.account, command, folder=cluster.place).returncode == 0
        with cluster.log.open("ab") as log:
            self._child = spawn_tied(
                [cluster.programs / "postgres", "-D", cluster.data, "-p", str(port)],
                output=log,
                death_signal=signal.SIGQUIT,
                account=cluster.account,
                environment={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
                folder=cluster.place,
            )
        while self._child.poll() is None:
            if cluster.ready_port() is not None:
                return True
            time.sleep(0.02)
        return False

    def _await_ready(self, cluster: Cluster, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (port := cluster.ready_port()) is None:
            if cluster.server() is None:
                raise failure(f"Postgres ended while starting (data in {cluster.data})", cluster.log_tail())
            if time.monotonic() > deadline:
                raise failure(f"Postgres is not ready after {timeout:.0f} s", cluster.log_tail())
            time.sleep(0.05)
        return port

    def _choose_port(self) -> int:
        if self._wanted_port is not None:
            if not _free(self._wanted_port):
                raise EmbeddedServiceError(f"port {self._wanted_port} is taken by another program: name another one")
            return self._wanted_port
        kept = int(self._state()["port"])
        return kept if kept and _free(kept) else _any_port()

    def _check_port(self, port: int) -> None:
        if self._wanted_port not in (None, port):
            raise EmbeddedServiceError(
                f"the server already runs on port {port}, not {self._wanted_port}: stop it first with 'fulgor db down'"
            )

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


def _url(password: str, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}?{_SEARCH_PATH}"


def _ensure_database(password: str, port: int) -> None:
    import psycopg  # after the start: 'fulgor db status' must not pay for it

    try:
        with psycopg.connect(_url(password, port, "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(_url(password, port), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise failure("the embedded Postgres runs but refuses us", str(error)) from error


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

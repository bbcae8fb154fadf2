"""One Postgres data folder: how it is made, which process serves it, what its log says."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fulgor.embedded.account import Account, run_as
from fulgor.embedded.lifetime import alive
from fulgor.errors import DiskFullError, EmbeddedServiceError, FulgorError

__all__ = ["SUPERUSER", "Cluster", "failure"]

SUPERUSER = "fulgor"
_MIB = 1 << 20
_LOG_LIMIT = 16 * _MIB
_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data folder with the account that owns it and the programs that serve it.

    Attributes
    ----------
    place : Path
        Folder of the account: ``data`` (Postgres's own), ``log``, perhaps the programs.
    programs : Path
        Folder of ``initdb``, ``pg_ctl`` and ``postgres``.
    account : Account or None
        The owner of ``data``; ``None`` means the present user.
    """

    place: Path
    programs: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """Postgres's data folder."""
        return self.place / "data"

    @property
    def log(self) -> Path:
        """What the server printed since it was last started, and before."""
        return self.place / "log"

    def initialise(self, password: str, *, durable: bool, version: str) -> None:
        """Make the data folder, if there is none; a half-made one of an interrupted run is replaced.

        Parameters
        ----------
        password : str
            Of the superuser :data:`SUPERUSER`; the only way in, over TCP on the loopback.
        durable : bool
            False for tests: no fsync, so that a power cut may cost the data.
        version : str
            Of the programs; data of another major version is refused.

        Raises
        ------
        EmbeddedServiceError, DiskFullError
            ``initdb`` failed, or the data was made by another major version.
        """
        if self.data.exists():
            self._check_version(version)
            return
        half, secret = self.place / "data.new", self.place / "password.new"
        shutil.rmtree(half, ignore_errors=True)
        self._write_private(secret, password)
        try:
            made = run_as(self.account, self._initdb(half, secret, durable=durable), folder=self.place)
        finally:
            secret.unlink()
        if made.returncode:
            shutil.rmtree(half, ignore_errors=True)
            raise failure(f"Postgres could not make its data folder {self.data}", made.stderr or made.stdout)
        half.rename(self.data)

    def _initdb(self, data: Path, secret: Path, *, durable: bool) -> list[str | Path]:
        command: list[str | Path] = [self.programs / "initdb", "-D", data, "-U", SUPERUSER, "--pwfile", secret]
        command += ["--auth-host=scram-sha-256", "--auth-local=reject", "--encoding=UTF8", "--no-instructions"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if durable else ["--no-sync"]
        for name, value in _settings(durable=durable).items():
            command += ["-c", f"{name}={value}"]
        return command

    def _write_private(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            if self.account is not None:
                os.fchown(handle, self.account.uid, self.account.gid)

    def _check_version(self, version: str) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        wanted = version.split(".")[0]
        if found != wanted:
            raise EmbeddedServiceError(
                f"{self.data} was made by PostgreSQL {found} and this is {wanted}: dump it with the old version "
                "(pg_dump) and restore it, or move the folder away to start afresh"
            )

    def server(self) -> int | None:
        """Return the process id of the running server, ready or not; ``None`` when there is none."""
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        pid = int(lines[0])
        return pid if alive(pid) and self._serves(pid) else None

    def ready_port(self) -> int | None:
        """Return the port on which the running server takes connections; ``None`` until it does."""
        lines = self._pid_file()
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return int(lines[3]) if ready and self.server() is not None else None

    def drop_reused_pid(self) -> None:
        """Remove the pid file of a dead server whose number now belongs to another program.

        Postgres cannot tell and would refuse to start. A pid that is dead is left to Postgres,
        which first makes sure that no orphan of the old server still writes.
        """
        lines = self._pid_file()
        if lines and lines[0].strip().isdigit() and alive(int(lines[0])) and self.server() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _serves(self, pid: int) -> bool:
        process = Path(f"/proc/{pid}")
        try:
            return (process / "comm").read_bytes() == b"postgres\n" and (process / "cwd").samefile(self.data)
        except ProcessLookupError:  # ended between the opening of a file and its reading
            return False
        except FileNotFoundError:
            # Ended meanwhile, or a system without /proc, where the pid file must be believed.
            return not Path("/proc/self").exists() and alive(pid)

    def trim_log(self) -> None:
        """Keep the log of a server that is about to start from growing for ever."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_name("log.1"))

    def log_size(self) -> int:
        """Return the size of the log in bytes: where the next server's lines begin."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_tail(self, start: int = 0) -> str:
        """Return the last lines of the log, from byte ``start`` on, at most some 4 kB."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(start, self.log_size() - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode("utf-8", "replace").strip()


def failure(what: str, output: str) -> FulgorError:
    """Return the error for a Postgres program that failed, by what it printed."""
    output = output.strip()[-_TAIL_BYTES:]
    if "No space left on device" in output:
        return DiskFullError(f"{what}: no space left on the disk; free some, or move FULGOR_HOME\n{output}")
    return EmbeddedServiceError(f"{what}; its last words were:\n{output or '(nothing)'}")


def _settings(*, durable: bool) -> dict[str, str]:
    """Return postgresql.conf's settings, sized to the machine; ALTER SYSTEM changes them later."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    return {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "100",
        # A query over all nights locks every partition and its indexes: the default of 64 ends at some 2,000 nights.
        "max_locks_per_transaction": "1024",
        "shared_buffers": f"{_between(128, memory // 32, 256)}MB",
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "work_mem": "32MB",
        "maintenance_work_mem": f"{_between(64, memory // 16, 1024)}MB",  # what an HNSW index is built in
        "dynamic_shared_memory_type": _shared_memory(),
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "synchronous_commit": "on",  # a committed offset must never be ahead of its rows
        "fsync": "on" if durable else "off",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def _shared_memory() -> str:
    # Containers often get 64 MB of /dev/shm, in which a parallel index build fails.
    folder = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    roomy = folder.is_dir() and shutil.disk_usage(folder).total >= 1024 * _MIB
    return "posix" if roomy else "mmap"


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))

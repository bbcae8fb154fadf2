"""Processes that end with their owner, and the telling of the living from the dead."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fulgor.embedded.cluster import Cluster
from fulgor.embedded.lifetime import alive, spawn_tied, wait_gone


def test_a_running_process_is_alive() -> None:
    assert alive(os.getpid())
    assert not wait_gone(os.getpid(), 0.05)


def test_an_uncollected_process_is_dead() -> None:
    child = subprocess.Popen(["true"])
    assert wait_gone(child.pid, 60)
    assert child.wait() == 0
    assert not alive(child.pid)


def test_a_process_that_ends_while_it_is_looked_at_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(path: Path) -> bytes:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))  # as the kernel answers a reader of /proc

    monkeypatch.setattr(Path, "read_bytes", ended)
    assert not alive(os.getpid())


def test_a_server_that_ends_while_it_is_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(tmp_path, tmp_path, None)
    cluster.data.mkdir()
    (cluster.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    whole = Path.read_bytes

    def ended(path: Path) -> bytes:
        if path.name == "comm":
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", ended)
    assert cluster.server() is None


def test_the_child_is_the_program_itself() -> None:
    child = spawn_tied(["/bin/sleep", "600"], output=subprocess.DEVNULL)
    try:
        assert os.getpgid(child.pid) == child.pid  # a Ctrl-C at the terminal does not reach it
        deadline = time.monotonic() + 60
        while not _command(child.pid).startswith("/bin/sleep") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _command(child.pid) == "/bin/sleep 600"
    finally:
        child.kill()
        child.wait()


def test_a_program_that_cannot_be_started_fails() -> None:
    child = spawn_tied(["/nonexistent/program"], output=subprocess.DEVNULL)
    assert child.wait(60) == 1


def test_a_missing_folder_is_reported_where_it_is_asked_for() -> None:
    with pytest.raises(FileNotFoundError):
        spawn_tied(["/bin/true"], output=subprocess.DEVNULL, folder=Path("/nonexistent"))
    spawn_tied([sys.executable, "-c", ""], output=subprocess.DEVNULL).wait()  # the next one still starts


def test_a_command_that_no_system_takes_is_reported_where_it_is_asked_for() -> None:
    with pytest.raises(ValueError, match="null byte"):
        spawn_tied(["/bin/true", "\0"], output=subprocess.DEVNULL)
    spawn_tied(["/bin/true"], output=subprocess.DEVNULL).wait()


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return " ".join(file.read().split("\0")).strip()

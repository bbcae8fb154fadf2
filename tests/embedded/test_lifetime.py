"""Processes that end with their owner, and the telling of the living from the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fulgor.embedded.lifetime import alive, spawn_tied, wait_gone


def test_a_running_process_is_alive() -> None:
    assert alive(os.getpid())
    assert not wait_gone(os.getpid(), 0.05)


def test_an_uncollected_process_is_dead() -> None:
    child = subprocess.Popen(["true"])
    assert wait_gone(child.pid, 5)
    assert child.wait() == 0
    assert not alive(child.pid)


def test_the_child_is_the_program_itself() -> None:
    child = spawn_tied(["/bin/sleep", "60"], output=subprocess.DEVNULL)
    try:
        assert os.getpgid(child.pid) == child.pid  # a Ctrl-C at the terminal does not reach it
        deadline = time.monotonic() + 5
        while not _command(child.pid).startswith("/bin/sleep") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _command(child.pid) == "/bin/sleep 60"
    finally:
        child.kill()
        child.wait()


def test_a_program_that_cannot_be_started_fails() -> None:
    child = spawn_tied(["/nonexistent/program"], output=subprocess.DEVNULL)
    assert child.wait(10) == 1


def test_a_missing_folder_is_reported_where_it_is_asked_for() -> None:
    with pytest.raises(FileNotFoundError):
        spawn_tied(["/bin/true"], output=subprocess.DEVNULL, folder=Path("/nonexistent"))
    spawn_tied([sys.executable, "-c", ""], output=subprocess.DEVNULL).wait()  # the next one still starts


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return " ".join(file.read().split("\0")).strip()

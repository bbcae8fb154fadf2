"""Child processes that never outlive their owner, not even one that was killed with ``kill -9``.

On Linux the kernel does it (``PR_SET_PDEATHSIG``), so there is no window and no clean-up to forget.
The kernel counts the *thread* that started a child as its parent, so one thread of ours starts all
of them and lives as long as the process. Elsewhere only a clean exit of the owner ends the child.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from fulgor.embedded.account import Account

__all__ = ["alive", "spawn_tied", "wait_gone"]

Child = subprocess.Popen[bytes]
_TIE = Path(__file__).with_name("_tie.py")


class _Starter:
    """The one thread that starts children."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Child], Future[Child]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, job: Callable[[], Child]) -> Child:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="fulgor-starter", daemon=True)
                thread.start()
                self._thread = thread  # now, for a Ctrl-C may come before it runs
        result: Future[Child] = Future()
        self._jobs.put((job, result))
        return result.result()

    def _serve(self) -> None:
        while True:
            job, result = self._jobs.get()
            try:
                result.set_result(job())
            except Exception as error:  # noqa: BLE001 - raised again where the child was asked for, which waits
                result.set_exception(error)
            del job, result


_starter = _Starter()


def spawn_tied(
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    death_signal: signal.Signals = signal.SIGKILL,
    account: Account | None = None,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Child:
    """Start a program that ends when this process ends, however that happens.

    It gets a session of its own: a Ctrl-C in the terminal reaches its owner, who stops it in order.

    Parameters
    ----------
    command : sequence of str or Path
        The program, by absolute path, and its arguments.
    output : file or int
        Receives what it prints.
    death_signal : signal.Signals
        What it is sent when its owner dies.
    account : Account, optional
        The account it runs as; only root may name one.
    environment, folder : optional
        As in :class:`subprocess.Popen`.

    Returns
    -------
    subprocess.Popen
        The running program; its ``pid`` is the program's own.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    numbers = [str(number) for number in (os.getpid(), int(death_signal), uid, gid)]
    full = [sys.executable, "-I", "-S", str(_TIE), *numbers, *(str(part) for part in command)]
    child = _starter.run(
        lambda: subprocess.Popen(
            full,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=folder,
        )
    )
    _end_at_exit(child, death_signal)
    return child


def _end_at_exit(child: Child, death_signal: signal.Signals) -> None:
    """End the child at a clean exit too: the only way where the kernel offers no death signal."""
    known = weakref.ref(child)

    def end() -> None:
        still = known()
        if still is not None and still.poll() is None:
            still.send_signal(death_signal)
            still.wait()

    atexit.register(end)


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not collected by its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except ProcessLookupError:  # ended between the opening of the file and its reading
        return False
    except FileNotFoundError:
        # Ended between the two looks, or a system without /proc, where the first look must do.
        return not Path("/proc/self/stat").exists()
    return state not in b"ZX"


def wait_gone(pid: int, seconds: float) -> bool:
    """Wait until a process has ended; return False when it still runs after ``seconds``."""
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True

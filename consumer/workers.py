"""Several consumer processes from one command: members of one group, spawned, never forked."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from types import FrameType

from fulgor.consumer.stopping import without_ctrl_c
from fulgor.errors import INTERRUPTED

__all__ = ["run_workers"]

log = logging.getLogger(__name__)


def run_workers(count: int, work: Callable[[int], None]) -> int:
    """Run `work(index)` in `count` processes and wait for them; pass on SIGTERM and SIGINT.

    One that fails stops the others in good order: a group that silently runs with fewer members than
    asked for falls behind unnoticed.

    Parameters
    ----------
    count : int
        Processes.
    work : callable
        A picklable function of the module level.

    Returns
    -------
    int
        The first exit code that is not 0, or 0.
    """
    context = get_context("spawn")
    workers: list[SpawnProcess] = []
    told: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        _stop(workers)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)  # before the first start: a signal in between would leave orphans
    for index in range(count):
        if told:
            break
        worker = context.Process(target=_begin, args=(work, index), name=f"fulgor-{index}")
        with without_ctrl_c():
            worker.start()
        workers.append(worker)
    if told:
        _stop(workers)  # the signal came during a start: that worker had no process id yet
    return _wait(workers, told)


def _begin(work: Callable[[int], None], index: int) -> None:
    """Run in a process of its own: now that it has loaded, a Ctrl-C is heard."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        work(index)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _wait(workers: list[SpawnProcess], told: list[int]) -> int:
    code = 0
    while any(worker.is_alive() for worker in workers):
        for worker in workers:
            worker.join(0.2)
        if code == 0 and (failed := next((w for w in workers if w.exitcode), None)) is not None:
            code = _code(failed, told)
            if code != INTERRUPTED:
                log.error("%s ended with code %d; stopping the others", failed.name, code)
            _stop(workers)
    return code or next((_code(w, told) for w in workers if w.exitcode), 0)


def _code(worker: SpawnProcess, told: list[int]) -> int:
    """Return the exit code; one that was told to stop before it could listen has done as it was told."""
    if told and worker.exitcode == -signal.SIGTERM:
        return INTERRUPTED
    return int(worker.exitcode or 1)


def _stop(workers: list[SpawnProcess]) -> None:
    for worker in workers:
        if worker.pid is not None and worker.is_alive():
            worker.terminate()

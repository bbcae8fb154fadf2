"""A night's alerts, simulated in processes of their own so that every core works and progress shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from queue import SimpleQueue
from threading import Thread

import numpy as np

from fulgor.consumer.stopping import without_ctrl_c
from fulgor.demo.plan import Night
from fulgor.errors import FulgorError, SettingsError

__all__ = ["NightAlert", "Simulator", "simulator"]

_PORTION = 40
_MOST_PROCESSES = 8


@dataclass(frozen=True, slots=True)
class NightAlert:
    """A simulated alert as one message, and the truth behind it."""

    jd: float
    candid: int
    label: str
    value: bytes


class Simulator:
    """A simulation under way.

    A thread of its own keeps the processes. A Ctrl-C interrupts the main thread only, and there in the middle of
    anything: between taking and giving back the lock of a future, it would leave the pool waiting for ever.

    Parameters
    ----------
    night : Night
        Date and seeds.
    count : int
        Number of alerts.
    """

    def __init__(self, night: Night, count: int) -> None:
        seeds = _clear_seeds(night)
        sizes = [min(_PORTION, count - begun) for begun in range(0, count, _PORTION)]
        self._portions = [(size, next(seeds), night.start_jd) for size in sizes]
        self._done: SimpleQueue[Future[list[NightAlert]]] = SimpleQueue()
        self._stopped = False
        self._thread = Thread(target=self._run, name="fulgor-simulation", daemon=True)

    def gather(self, on_progress: Callable[[int], None]) -> list[NightAlert]:
        """Wait for all alerts and return them in time order.

        Parameters
        ----------
        on_progress : callable
            Told from time to time how many there are.

        Raises
        ------
        FulgorError
            A process of the simulation ended.
        """
        alerts: list[NightAlert] = []
        try:
            for _ in self._portions:
                alerts += self._done.get().result()
                on_progress(len(alerts))
        except BrokenProcessPool as error:
            raise FulgorError("a process of the simulation was ended from outside, perhaps for want of memory") from (
                error
            )
        return sorted(alerts, key=lambda alert: (alert.jd, alert.candid))

    def start(self) -> None:
        """Start the processes."""
        self._thread.start()

    def stop(self) -> None:
        """End the processes; each still makes the alert it is at."""
        self._stopped = True
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with without_ctrl_c():
            self._simulate()

    def _simulate(self) -> None:
        context = get_context("spawn")
        told = context.Event()
        pool = ProcessPoolExecutor(_processes(), context, initializer=_settle_in, initargs=(told,))
        try:
            waiting = {pool.submit(_portion, *portion) for portion in self._portions}
        except BrokenProcessPool as error:
            broken: Future[list[NightAlert]] = Future()
            broken.set_exception(error)
            waiting = {broken}
        while waiting and not self._stopped:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for portion in done:
                self._done.put(portion)
        told.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def simulator(night: Night, count: int) -> Iterator[Simulator]:
    """Start to simulate a night; whatever happens, no process is left behind.

    Parameters
    ----------
    night : Night
        Date and seeds.
    count : int
        Number of alerts.
    """
    simulation = Simulator(night, count)
    try:
        simulation.start()
        yield simulation
    finally:
        simulation.stop()


def _processes() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_PROCESSES)


def _clear_seeds(night: Night) -> Iterator[int]:
    """Yield seeds whose weather opens the dome: each portion has its own, like another part of the sky."""
    from fulgor.replay.simulate.ztf.cadence import Nights
    from fulgor.replay.simulate.ztf.objects import HISTORY_DAYS

    for seed in night.seeds:
        weather = Nights.draw(
            np.random.default_rng([seed, 0]), night.start_jd - HISTORY_DAYS - 1.0, night.start_jd + 2.0
        )
        if weather.clear[int(night.start_jd) - weather.first]:
            yield seed
    raise SettingsError("so many alerts are more than a night of the demo has: give a smaller --count")


_stopping: list[Event] = []  # in a process of the pool: what tells it to stop


def _settle_in(told: Event) -> None:
    """Prepare a process: it does not outlive its owner, whose business a Ctrl-C is."""
    _stopping.append(told)
    Thread(target=_leave_with_owner, daemon=True).start()


def _leave_with_owner() -> None:
    owner = parent_process()
    if owner is not None:
        owner.join()
        os._exit(1)


def _portion(count: int, seed: int, start_jd: float) -> list[NightAlert]:
    from fulgor.replay.simulate.ztf import encode, simulate

    made = []
    for alert in simulate(count, seed, start=start_jd, nights=1):
        if any(told.is_set() for told in _stopping):
            break
        made.append(NightAlert(alert.jd, int(alert.record["candid"]), alert.label, encode([alert.record])))
    return made

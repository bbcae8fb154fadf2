"""A night's alerts, simulated in processes of their own so that every core works and progress shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
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
    anything: between taking and giving back a lock, it would leave the others waiting for ever.

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
        self._done: SimpleQueue[list[NightAlert] | FulgorError] = SimpleQueue()
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
        for _ in self._portions:
            portion = self._done.get()
            if isinstance(portion, FulgorError):
                raise portion
            alerts += portion
            on_progress(len(alerts))
        return sorted(alerts, key=lambda alert: (alert.jd, alert.candid))

    def start(self) -> None:
        """Start the processes."""
        self._thread.start()

    def stop(self) -> None:
        """End the processes."""
        self._stopped = True
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        workers: list[_Worker] = []
        try:
            with without_ctrl_c():
                self._simulate(workers)
        except OSError as error:
            self._done.put(FulgorError(f"a process of the simulation cannot be started: {error.strerror}"))
        except FulgorError as error:
            self._done.put(error)
        finally:
            for worker in workers:
                worker.end()

    def _simulate(self, workers: list[_Worker]) -> None:
        count = min(_processes(), len(self._portions))
        workers.extend(_Worker(self._portions[first::count]) for first in range(count))
        while (busy := [worker.results for worker in workers if worker.left]) and not self._stopped:
            ready = wait(busy, timeout=0.2)
            for worker in workers:
                if worker.results in ready:
                    self._done.put(worker.take())


class _Worker:
    """A process that simulates portions of the night.

    Its pipe is its own: one that is killed in the middle of a message leaves an end of it that is seen, and no lock
    that the others wait for. (The queue that a pool of processes shares is one, and waits for the rest for ever.)
    """

    def __init__(self, portions: Sequence[tuple[int, int, float]]) -> None:
        context = get_context("spawn")
        self.left = len(portions)
        self.results, writer = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(writer, portions), daemon=True)
        with writer:  # from now on the process has the only one
            self._process.start()

    def take(self) -> list[NightAlert]:
        """Return the next portion.

        Raises
        ------
        FulgorError
            The process has ended before it was whole.
        """
        try:
            portion: list[NightAlert] = self.results.recv()
        except (EOFError, OSError) as error:  # before it, or in the middle of it
            self._process.join()
            failed = (self._process.exitcode or 0) > 0
            why = "failed, as it said itself" if failed else "was ended from outside, perhaps for want of memory"
            raise FulgorError(f"a process of the simulation {why}") from error
        self.left -= 1
        return portion

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self.results.close()


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


def _work(results: Connection, portions: Sequence[tuple[int, int, float]]) -> None:
    """Run in a process of its own: it does not outlive its owner, whose business a Ctrl-C is."""
    Thread(target=_leave_with_owner, daemon=True).start()
    for portion in portions:
        results.send(_portion(*portion))


def _leave_with_owner() -> None:
    owner = parent_process()
    if owner is not None:
        owner.join()
        os._exit(1)


def _portion(count: int, seed: int, start_jd: float) -> list[NightAlert]:
    from fulgor.replay.simulate.ztf import encode, simulate

    return [
        NightAlert(alert.jd, int(alert.record["candid"]), alert.label, encode([alert.record]))
        for alert in simulate(count, seed, start=start_jd, nights=1)
    ]

"""A simulation tells when one of its processes was killed, and leaves none behind."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from fulgor.demo.plan import Night
from fulgor.demo.simulation import simulator
from fulgor.errors import FulgorError


def test_a_killed_process_is_reported_and_no_other_is_left():
    def kill_one(_: int) -> None:
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    with pytest.raises(FulgorError, match="ended from outside"), simulator(Night(1), 400) as simulation:
        simulation.gather(kill_one)
    assert multiprocessing.active_children() == []


def test_an_interrupted_simulation_leaves_no_process():
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), simulator(Night(1), 4000) as simulation:
        simulation.gather(interrupt)
    assert multiprocessing.active_children() == []

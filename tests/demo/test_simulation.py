"""A simulation tells when one of its processes was killed, and leaves none behind."""

from __future__ import annotations

import errno
import multiprocessing
import os
from multiprocessing.context import SpawnProcess

import pytest
from dying import die_in_the_middle_of_a_message

import fulgor.demo.simulation as module
from fulgor.demo.plan import Night
from fulgor.demo.simulation import simulator
from fulgor.errors import FulgorError


def test_a_killed_process_is_reported_and_no_other_is_left():
    def kill_one(_: int) -> None:
        for child in multiprocessing.active_children()[:1]:
            child.kill()

    with pytest.raises(FulgorError, match="ended from outside"), simulator(Night(1), 4000) as simulation:
        simulation.gather(kill_one)
    assert multiprocessing.active_children() == []


def test_a_process_killed_while_it_tells_what_it_has_made_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_work", die_in_the_middle_of_a_message)
    with pytest.raises(FulgorError, match="ended from outside"), simulator(Night(1), 80) as simulation:
        simulation.gather(lambda _: None)
    assert multiprocessing.active_children() == []


def test_a_process_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch):
    def refused(process: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(SpawnProcess, "start", refused)
    with pytest.raises(FulgorError, match="cannot be started"), simulator(Night(1), 80) as simulation:
        simulation.gather(lambda _: None)


def test_an_interrupted_simulation_leaves_no_process():
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), simulator(Night(1), 4000) as simulation:
        simulation.gather(interrupt)
    assert multiprocessing.active_children() == []

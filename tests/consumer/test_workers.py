"""Workers that are told to stop while they are being started."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from fulgor.consumer import workers
from fulgor.consumer.workers import run_workers
from fulgor.errors import INTERRUPTED


class Process:
    """A worker that gets its process id at the end of its start; a signal comes just before."""

    made: list[Process]

    ends_with = 0

    def __init__(self, target: object, args: tuple[object, int], name: str) -> None:
        self.name, self.pid, self.exitcode, self.told = name, None, None, False
        self.made.append(self)

    def start(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.pid = 1

    def is_alive(self) -> bool:
        return self.exitcode is None

    def terminate(self) -> None:
        self.told = True

    def join(self, _: float) -> None:
        assert self.told, "it would never end"
        self.exitcode = self.ends_with


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    Process.made = []
    monkeypatch.setattr(workers, "get_context", lambda _: type("Context", (), {"Process": Process}))
    yield Process.made
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_signal_during_a_start_reaches_that_worker_and_starts_no_other(processes: list[Process]):
    assert run_workers(3, lambda _: None) == 0
    assert [process.told for process in processes] == [True]


def test_a_worker_that_could_not_listen_yet_has_done_as_it_was_told(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(Process, "ends_with", -signal.SIGTERM)
    assert run_workers(1, lambda _: None) == INTERRUPTED
    assert not [record for record in caplog.records if record.name == workers.__name__]

"""Waiting for a database: how long, on which connection, and what is said meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

import psycopg
import pytest

from fulgor.consumer import patience
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.patience import Patient
from fulgor.errors import DatabaseError

AWAY = psycopg.OperationalError("the server closed the connection")


class Connection:
    closed = False

    def execute(self, *_: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Clock:
    now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections that were made."""
    connections: list[Connection] = []

    def connect(url: str, *, application: str, answer_s: float) -> Connection:
        connections.append(Connection())
        return connections[-1]

    monkeypatch.setattr(patience, "connect", connect)
    return connections


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only waiting moves on."""
    clock = Clock()
    monkeypatch.setattr(patience, "monotonic", lambda: clock.now)
    monkeypatch.setattr(patience, "sleep", clock.sleep)
    return clock


def patient(metrics: Metrics | None = None, stopping: Event | None = None, *, drain_s: float = 20) -> Patient:
    return Patient(
        "postgresql://u:secret@h/d", "me", patience_s=20, drain_s=drain_s,
        metrics=metrics or Metrics(), stopping=stopping or Event(),
    )  # fmt: skip


def failing(*errors: Exception) -> Callable[[Connection], Connection]:
    left = list(errors)

    def work(connection: Connection) -> Connection:
        if left:
            raise left.pop(0)
        return connection

    return work


def test_a_lost_connection_is_made_again(made: list[Connection], caplog: pytest.LogCaptureFixture):
    metrics = Metrics()
    assert patient(metrics).run(failing(AWAY, AWAY)) is made[2]
    assert [one.closed for one in made] == [True, True, False]
    assert "database h:5432/d is away" in caplog.text
    assert "secret" not in caplog.text
    assert metrics.value("fulgor_database_up") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.errors.DeadlockDetected("deadlock detected"), "has another session in the way"),
        (psycopg.errors.SerializationFailure("could not serialize"), "has another session in the way"),
        (psycopg.errors.LockNotAvailable("lock timeout"), "has another session in the way"),
        (psycopg.errors.DiskFull("no space left"), "is short of space"),
        (psycopg.errors.TooManyConnections("sorry"), "is short of space, memory or connections"),
    ],
)
def test_what_is_no_absence_is_not_called_one(
    made: list[Connection], caplog: pytest.LogCaptureFixture, error: psycopg.Error, said: str
):
    with caplog.at_level(logging.WARNING):
        patient().run(failing(error))
    assert said in caplog.text
    assert "away" not in caplog.text
    assert len(made) == (1 if "session" in said else 2)


def test_one_error_after_the_order_to_stop_does_not_end_the_drain(made: list[Connection]):
    stopping = Event()
    stopping.set()
    assert patient(stopping=stopping).run(failing(AWAY, AWAY)) is made[2]


@pytest.mark.usefixtures("made")
def test_a_process_that_shall_end_waits_no_longer_than_a_drain(clock: Clock):
    stopping = Event()
    stopping.set()
    one = patient(stopping=stopping, drain_s=3)
    with pytest.raises(DatabaseError, match=r"h:5432/d is away, for 3 s by now: the server closed"):
        one.run(failing(*[AWAY] * 1000))
    assert clock.now == 1003.0
    with pytest.raises(DatabaseError):  # the drain is one, whatever the number of its steps
        one.run(failing(AWAY))


@pytest.mark.usefixtures("made")
def test_what_no_waiting_mends_is_told_at_once():
    with pytest.raises(DatabaseError, match="run 'fulgor db migrate'"):
        patient().run(failing(psycopg.errors.UndefinedTable("no such table")))

"""One consumer process from its first moment to its last."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from toy import ToyPredictor, ToyStream

from fulgor.consumer import consume as consume_module
from fulgor.consumer.claims import GroupStart
from fulgor.consumer.consume import Consumption, consume
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.settings import Settings
from fulgor.consumer.startup import Started


@pytest.fixture
def killed() -> Iterator[list[int]]:
    """The signals that would have ended the process at once."""
    heard: list[int] = []
    kept = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, kept)


def nothing(*_: object) -> bool:
    return False


def test_who_is_told_of_the_end_point_may_end_the_run_from_that_moment_until_it_is_closed(
    monkeypatch: pytest.MonkeyPatch, killed: list[int]
):
    @contextmanager
    def serving(*_: object) -> Iterator[None]:
        signal.raise_signal(signal.SIGTERM)
        yield
        signal.raise_signal(signal.SIGTERM)

    source = SimpleNamespace(subscribe=nothing, is_member=nothing, close=nothing)
    lineup = Lineup(Scorer(1, ToyPredictor()))
    monkeypatch.setattr(consume_module, "serving", serving)
    monkeypatch.setattr(consume_module, "start_up", lambda *_: Started(lineup, source, GroupStart("g", "earliest", {})))
    monkeypatch.setattr(consume_module, "_committer", lambda *_: SimpleNamespace(close=nothing))
    what = Consumption(ToyStream(), ToyPredictor(), "postgresql://h/d", "g")
    metrics = consume(what, lambda: source, Settings(), title="toys", until_end=True)
    assert metrics.interrupted
    assert killed == []

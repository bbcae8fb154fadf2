"""A lock that leaves no file behind, held by one at a time."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import pytest

from fulgor.models import turns
from fulgor.models.turns import alone


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    inside, most = [], []

    def work(number: int) -> None:
        with alone(tmp_path / "lock"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(work, range(200)))
    assert set(most) == {1}
    assert not any(tmp_path.iterdir())


def test_a_lock_that_was_removed_while_it_was_waited_for_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock, taken = tmp_path / "lock", fcntl.flock, []

    def late(handle: TextIO, how: int) -> None:
        flock(handle, how)
        if not taken:
            path.unlink()  # the one before us has ended
        taken.append(os.fstat(handle.fileno()).st_ino)

    monkeypatch.setattr(turns.fcntl, "flock", late)
    with alone(path):
        assert len(taken) == 2
        assert path.stat().st_ino == taken[1]


def test_an_error_inside_gives_it_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), alone(tmp_path / "lock"):
        raise KeyboardInterrupt
    assert not any(tmp_path.iterdir())

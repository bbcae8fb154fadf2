from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.ablation.configurations import BASE, CONFIGURATIONS, Configuration
from fulgor.models.ablation.queue import Queue, Result
from fulgor.models.evaluation.result import Evaluation

RUNS = [(BASE, 0), (CONFIGURATIONS["f8"], 0), (BASE, 1)]


def result(configuration: Configuration, seed: int) -> Result:
    names = np.array(["a", "b"])
    one = Evaluation(
        configuration.name, ("x", "y"), names, names, np.array([0, 1]), np.zeros(2, np.int64), np.full((2, 2), 0.5)
    )
    return {"real": one, "simulated": one}


def test_a_killed_queue_goes_on(tmp_path: Path) -> None:
    queue, begun = Queue(tmp_path), []

    def killed(configuration: Configuration, seed: int) -> Result:
        begun.append((configuration.name, seed))
        if len(begun) == 2:
            raise KeyboardInterrupt
        return result(configuration, seed)

    with pytest.raises(KeyboardInterrupt):
        queue.run(RUNS, killed)
    assert Queue(tmp_path).run(RUNS, killed) == 2
    assert begun == [("base", 0), ("f8", 0), ("f8", 0), ("base", 1)]
    assert Queue(tmp_path).run(RUNS, killed) == 0
    assert len(queue.results()) == 3


@pytest.mark.parametrize("left", ["real/base.json", "real/base.npz"])
def test_a_run_that_was_cut_short_is_run_again(tmp_path: Path, left: str) -> None:
    queue = Queue(tmp_path)
    queue.run(RUNS[:1], result)
    (queue.path(BASE, 0) / left).unlink()
    assert not queue.done(BASE, 0)
    with pytest.raises(ModelError, match="holds no result"):
        queue.results()
    assert queue.run(RUNS[:1], result) == 1


def test_no_run_begins_when_time_is_up(tmp_path: Path) -> None:
    answers = iter([True, False])
    assert Queue(tmp_path).run(RUNS, result, lambda: next(answers)) == 1

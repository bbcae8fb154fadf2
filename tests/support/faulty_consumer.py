"""A consumer of the toy stream that kills itself at a named point of its work.

BOOTSTRAP TOPIC DATABASE GROUP PROTOCOL POINT COUNT: when it comes to POINT for the COUNT-th time it is gone,
as by kill -9.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import toy_consumer

from fulgor.consumer.committer import Committer
from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.pipeline import Pipeline
from fulgor.storage.stage import Stage
from fulgor.storage.writer import Writer

# Where: class, method, and whether death comes before or after it.
POINTS: dict[str, tuple[type, str, str]] = {
    "after the claim": (Committer, "claim", "after"),
    "before a decode": (Pipeline, "accept", "before"),
    "after an inference": (Pipeline, "cut", "after"),
    "before the transaction": (Writer, "write", "before"),
    "after the COPY, within the transaction": (Stage, "_copy_rows", "after"),
    "before the offsets move, within the transaction": (Writer, "_move", "before"),
    "after the offsets moved, before COMMIT": (Writer, "_move", "after"),
    "after COMMIT, before anybody knows": (Writer, "write", "after"),
    "before Kafka's own offsets": (KafkaSource, "report", "before"),
    "before the release": (Committer, "release", "before"),
}


def arm(point: str, count: int) -> None:
    owner, name, when = POINTS[point]
    original: Callable[..., Any] = getattr(owner, name)
    left = [count]

    def faulty(*arguments: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **keywords)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, faulty)


if __name__ == "__main__":
    arm(sys.argv[6], int(sys.argv[7]))
    toy_consumer.main()

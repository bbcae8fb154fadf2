"""A consumer of the toy stream as a process to be killed: BOOTSTRAP TOPIC DATABASE GROUP PROTOCOL [--until-end]."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from toy import ToyPredictor, ToyStream

from fulgor.cli import reported
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import load_settings


def run(consumption: Callable[[str, str], Consumption], session_ms: int) -> None:
    """Consume as the command line says what is made of its database and group."""
    bootstrap, topic, database, group, protocol = sys.argv[1:6]
    logging.basicConfig(level=logging.INFO)
    settings = load_settings(
        {"bootstrap": bootstrap, "group_protocol": protocol, "batch_size": 16, "deadline_ms": 20,
         "session_timeout_ms": session_ms}
    )  # fmt: skip
    with reported():
        consume(
            consumption(database, group), lambda: kafka_source(settings, topic, group), settings,
            title="toy", until_end="--until-end" in sys.argv,
        )  # fmt: skip


def main() -> None:
    run(lambda database, group: Consumption(ToyStream(), ToyPredictor(), database, group), session_ms=3000)


if __name__ == "__main__":
    main()

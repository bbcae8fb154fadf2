"""A consumer of the toy stream as a process of its own, to be killed: BOOTSTRAP TOPIC DATABASE GROUP PROTOCOL."""

from __future__ import annotations

import logging
import sys

from toy import ToyPredictor, ToyStream

from fulgor.cli import reported
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import load_settings


def main() -> None:
    bootstrap, topic, database, group, protocol = sys.argv[1:6]
    logging.basicConfig(level=logging.INFO)
    settings = load_settings(
        {"bootstrap": bootstrap, "group_protocol": protocol, "batch_size": 16, "deadline_ms": 20,
         "session_timeout_ms": 3000}
    )  # fmt: skip
    what = Consumption(ToyStream(), ToyPredictor(), database, group)
    with reported():
        consume(
            what, lambda: kafka_source(settings, topic, group), settings,
            title="toy", until_end="--until-end" in sys.argv,
        )  # fmt: skip


if __name__ == "__main__":
    main()

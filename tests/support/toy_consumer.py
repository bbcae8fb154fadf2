"""A consumer of the toy stream as a process of its own, to be killed: BOOTSTRAP TOPIC DATABASE GROUP PROTOCOL."""

from __future__ import annotations

import logging
import sys

from toy import ToyPredictor, ToyStream

from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings


def main() -> None:
    bootstrap, topic, database, group, protocol = sys.argv[1:6]
    logging.basicConfig(level=logging.INFO)
    settings = Settings(
        bootstrap=bootstrap, group_protocol=protocol, batch_size=16, deadline_ms=20, session_timeout_ms=3000
    )
    what = Consumption(ToyStream(), ToyPredictor(), database, group)
    consume(
        what, lambda: kafka_source(settings, topic, group), settings, title="toy", until_end="--until-end" in sys.argv
    )


if __name__ == "__main__":
    main()

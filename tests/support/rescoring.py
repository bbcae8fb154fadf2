"""A process of a rescore of the toy stream: BOOTSTRAP TOPIC DATABASE DIGIT (the model, see following_consumer)."""

from __future__ import annotations

import logging
import sys

from following_consumer import Named
from toy import ToyStream

from fulgor.consumer.consume import kafka_source
from fulgor.consumer.settings import load_settings
from fulgor.replay.rescore import rescore, rescore_group
from fulgor.storage.database import connect
from fulgor.storage.registry import find_model


def main() -> None:
    bootstrap, topic, database, digit = sys.argv[1:5]
    logging.basicConfig(level=logging.INFO)
    settings = load_settings({"bootstrap": bootstrap, "batch_size": 8, "deadline_ms": 20, "session_timeout_ms": 6000})
    with connect(database) as connection:
        group = rescore_group(find_model(connection, digit * 16, "toy"))
    rescore(
        ToyStream(), Named(digit), database, group, lambda: kafka_source(settings, topic, group), settings,
        title="rescore",
    )  # fmt: skip


if __name__ == "__main__":
    main()

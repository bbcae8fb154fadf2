"""A consumer of the toy stream that follows the live model: BOOTSTRAP TOPIC DATABASE GROUP PROTOCOL [--until-end].

The models are :class:`Named`: a hash of 16 equal digits d gives latents of the value times d; ``f`` cannot be loaded.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
from toy import CARD, ToyPredictor, ToyStream

from fulgor.cli import reported
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import load_settings
from fulgor.errors import ModelError
from fulgor.storage.database import connect
from fulgor.storage.registry import Model, live_model


def card(digit: str) -> dict[str, Any]:
    return CARD | {"name": f"toy-{digit}", "hash": digit * 16}


class Named(ToyPredictor):
    def __init__(self, digit: str) -> None:
        super().__init__()
        self.model_hash, self.card, self.factor = digit * 16, card(digit), np.float32(int(digit, 16))

    def predict(self, arrays: Any) -> dict[str, np.ndarray]:
        return super().predict({"x": arrays["x"] * self.factor})


def load(model: Model) -> Named:
    if model.hash.startswith("f"):
        raise ModelError("its files are gone")
    return Named(model.hash[0])


def main() -> None:
    bootstrap, topic, database, group, protocol = sys.argv[1:6]
    logging.basicConfig(level=logging.INFO)
    settings = load_settings(
        {"bootstrap": bootstrap, "group_protocol": protocol, "batch_size": 16, "deadline_ms": 20,
         "session_timeout_ms": 6000}
    )  # fmt: skip
    with connect(database) as connection:
        live = load(live_model(connection, "toy"))
    what = Consumption(ToyStream(), live, database, group, follow=load)
    with reported():
        consume(
            what, lambda: kafka_source(settings, topic, group), settings,
            title="toy", until_end="--until-end" in sys.argv,
        )  # fmt: skip


if __name__ == "__main__":
    main()

"""A consumer of the toy stream that follows the live model: BOOTSTRAP TOPIC DATABASE GROUP PROTOCOL [--until-end].

The models are :class:`Named`: a hash of 16 equal digits d gives latents of the value times d; ``f`` cannot be loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from toy import CARD, ToyPredictor, ToyStream
from toy_consumer import run

from fulgor.consumer.consume import Consumption
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


def following(database: str, group: str) -> Consumption:
    with connect(database) as connection:
        live = load(live_model(connection, "toy"))
    return Consumption(ToyStream(), live, database, group, follow=load)


if __name__ == "__main__":
    run(following, session_ms=6000)

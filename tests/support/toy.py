"""A tiny stream for tests of the engine: JSON messages with any number of records and items.

A message is ``{"records": [{"id": "a", "time": 1.7e9, "value": 3.0, "width": 4, "items": 1, "break": null}]}``.
``break`` makes a step fail: ``decode`` (this record), ``crash`` and ``kill`` (the message), ``prepare``, ``nul`` (a
text that Postgres refuses).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np

from fulgor.consumer.stream import Item
from fulgor.errors import MalformedError
from fulgor.storage.tables import Column, StreamTable

TABLE = StreamTable("toy", "things", (Column("value", "float8", "A number"), Column("label", "text", "A text")))
CARD = {
    "name": "toy-1", "stream": "toy", "hash": "0" * 16, "preprocessing_hash": "toyprep", "classes": ["low", "high"],
    "scores": ["size"], "reference": None, "latent_size": 64,
}  # fmt: skip


def message(*records: Mapping[str, object], **extra: object) -> bytes:
    return json.dumps({"records": list(records), **extra}).encode()


def record(identity: object, **fields: object) -> dict[str, object]:
    return {"id": str(identity), "time": 1_700_000_000.0, "value": 1.0, "width": 4, "items": 1, **fields}


@dataclass(frozen=True)
class ToyRecord:
    fields: dict


class ToyStream:
    name = "toy"
    table = TABLE
    preprocessing_hash = "toyprep"

    def decode(self, value: bytes) -> Sequence[ToyRecord | MalformedError]:
        try:
            body = json.loads(value)
        except ValueError as error:
            raise MalformedError(f"not JSON: {error}", stage="framing") from error
        if body.get("break") == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if body.get("break") == "crash":
            raise ZeroDivisionError("a bug in the decoder")
        return [
            MalformedError("this record says so") if fields.get("break") == "decode" else ToyRecord(fields)
            for fields in body["records"]
        ]

    def prepare(self, record: ToyRecord) -> Sequence[Item]:
        fields = record.fields
        if fields.get("break") == "prepare":
            raise ValueError("cannot prepare")
        return [self._item(fields, index) for index in range(fields["items"])]

    def _item(self, fields: dict, index: int) -> Item:
        time = datetime.fromtimestamp(fields["time"], tz=UTC)
        content = json.dumps(fields, sort_keys=True).encode()
        return Item(
            alert=fields["id"] if fields["items"] == 1 else f"{fields['id']}/{index}",
            object=f"object-{fields['id']}",
            time=time,
            time_ns=int(fields["time"] * 1e9),
            content_hash=blake2b(content, digest_size=16).digest(),
            arrays={"x": np.full(fields["width"], fields["value"], np.float32)},
            flags=0,
            columns=(fields["value"], "a\x00b" if fields.get("break") == "nul" else "fine"),
            unscorable=fields.get("unscorable"),
        )


class ToyPredictor:
    model_hash = CARD["hash"]
    preprocessing_hash = "toyprep"
    classes = ("low", "high")
    card = CARD

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def predict(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = arrays["x"]
        self.batches.append(x.shape)
        high = (x[:, :1] > 5).astype(np.float32)
        return {
            "latent": np.repeat(x[:, :1], 64, axis=1),
            "stamp_latent": np.repeat(x[:, :1], 8, axis=1),
            "probabilities": np.concatenate([1 - high, high], axis=1),
            "scores": x[:, :1],
            "anomaly": np.clip(x[:, 0] / 10, 0, 1),
        }

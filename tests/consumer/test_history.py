"""Earlier alerts on their way into a model: asked for once a batch, and only where the model takes them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from toy import CARD, ToyPredictor, ToyStream, message, record

from fulgor.consumer.batches import FlushReason
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Delivery, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pending import Pending
from fulgor.consumer.pipeline import Pipeline
from fulgor.consumer.settings import Settings
from fulgor.consumer.stream import Remembering
from fulgor.errors import ModelError
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.storage.history import Earlier, Observation
from fulgor.storage.rows import History
from fulgor.streams.ztf import ZTF

NOON = datetime(2023, 11, 14, 12, tzinfo=UTC)
STEPS = [NOON, None, NOON + timedelta(days=1)]


class Remembers(ToyStream):
    """Toys whose packets name two earlier ones, with a step between that can be none."""

    def earlier(self, _item) -> list[datetime | None]:
        return STEPS


class Historian(ToyPredictor):
    """A model whose latent counts what it was given."""

    history_shape = (3, 8)
    card = CARD | {"hash": "1" * 16}

    def predict(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if len(arrays["x"]) > 2:
            raise MemoryError("two at the most")
        given = (arrays["history"] * arrays["history_mask"][:, :, None]).sum(axis=(1, 2))
        return super().predict(arrays) | {"latent": np.repeat(given[:, None], 64, axis=1).astype(np.float32)}


class Asked:
    """What is stored: one alert at the last of the steps, of the objects of even toys."""

    def __init__(self) -> None:
        self.questions: list[tuple[int, int]] = []

    def __call__(self, model_id: int, wanted: Collection[Observation]) -> dict[Observation, Earlier]:
        self.questions.append((model_id, len(wanted)))
        stored = {"object-0": 1.0, "object-2": 2.0}
        return {
            one: Earlier(f"before-{one.object}", np.full(8, stored[one.object], np.float32))
            for one in wanted
            if one.time == STEPS[2] and one.object in stored
        }


def through(stream: ToyStream, lineup: Lineup, recall: Asked) -> list[Pending]:
    line = Pipeline(stream, lineup, batch_size=4, deadline_s=60, metrics=Metrics(), recall=recall)
    held = Assignment(Partition("t", 0), feed_id=1, epoch=1, segment=0, expected=0)
    for number in range(3):
        line.accept(Delivery(held, number, number, message(record(number)), received=time.monotonic()))
    return list(line.cut(FlushReason.END).messages)


def test_a_model_without_a_history_asks_nothing():
    recall = Asked()
    messages = through(Remembers(), Lineup(Scorer(1, ToyPredictor())), recall)
    assert recall.questions == []
    assert [row.history for pending in messages for row in pending.results] == [None] * 3


def test_one_question_a_batch_and_each_item_gets_its_own():
    recall = Asked()
    messages = through(Remembers(), Lineup(Scorer(5, Historian())), recall)
    assert recall.questions == [(5, 6)]  # although the model had no memory for all three at once
    rows = [row for pending in messages for row in pending.results]
    assert [row.latent[0] for row in rows] == [8.0, 0.0, 16.0]
    assert rows[0].history == History((STEPS[0], STEPS[2]), (None, "before-object-0"))
    assert rows[1].history == History((STEPS[0], STEPS[2]), (None, None))


def test_a_shadow_model_asks_for_itself():
    recall = Asked()
    [first, *_] = through(Remembers(), Lineup(Scorer(1, ToyPredictor()), (Scorer(9, Historian()),)), recall)
    assert recall.questions == [(9, 6)]
    assert [row.history for row in first.results] == [None]
    assert [row.history.alerts for row in first.shadows] == [(None, "before-object-0")]


def test_a_stream_that_remembers_nothing_cannot_feed_such_a_model():
    with pytest.raises(ModelError, match="takes stored history, which stream 'toy' does not have"):
        through(ToyStream(), Lineup(Scorer(1, Historian())), Asked())


def test_earlier_detections_of_a_ztf_alert_are_the_times_of_their_rows():
    stream = ZTF(Settings())
    assert isinstance(stream, Remembering)
    items = [
        item
        for alert in simulate(30, 5, mix={"VS": 1.0})
        for record in stream.decode(encode([alert.record]))
        for item in stream.prepare(record)
    ]
    times = {(item.object, item.time) for item in items}
    named = [[(item.object, time) for time in stream.earlier(item)] for item in items]
    assert all(len(steps) == 31 for steps in named)
    found = sum(one in times for steps in named for one in steps)
    assert found > 20  # to the microsecond
    limits = [replace(item, arrays={**item.arrays, "sequence": item.arrays["sequence"] * 0}) for item in items]
    assert all(set(stream.earlier(item)) == {None} for item in limits)

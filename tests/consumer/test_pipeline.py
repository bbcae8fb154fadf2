"""The pipeline alone: what becomes of a message before any database sees it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from toy import ToyPredictor, ToyStream, message, record

from fulgor.consumer import pipeline as pipeline_module
from fulgor.consumer.batches import Buckets, FlushReason
from fulgor.consumer.committer import batch_of
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.messages import Assignment, Delivery, Partition
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.pipeline import Pipeline
from fulgor.errors import BrokerError
from fulgor.storage.rows import Hole


def assignment(first: int = 0) -> Assignment:
    return Assignment(Partition("t", 0), feed_id=1, epoch=1, segment=0, expected=first)


def delivery(to: Assignment, value: bytes | None, offset: int | None = None, *, is_mark: bool = False) -> Delivery:
    offset = to.expected if offset is None else offset
    made = Delivery(to, offset, to.expected, value, received=time.monotonic(), is_mark=is_mark)
    to.expected = made.next_offset
    return made


def pipeline(predictor: ToyPredictor | None = None, *, size: int = 4, deadline_s: float = 60) -> Pipeline:
    lineup = Lineup(Scorer(1, predictor or ToyPredictor()))
    return Pipeline(ToyStream(), lineup, batch_size=size, deadline_s=deadline_s, metrics=Metrics())


def test_a_full_bucket_of_one_shape_is_a_cut():
    held, line = assignment(), pipeline()
    cuts = [line.accept(delivery(held, message(record(index)))) for index in range(4)]
    assert cuts[:3] == [None] * 3
    assert cuts[3].reason is FlushReason.FULL
    assert [pending.delivery.offset for pending in cuts[3].messages] == [0, 1, 2, 3]
    assert all(len(pending.results) == 1 and pending.waiting == 0 for pending in cuts[3].messages)


def test_a_full_bucket_waits_for_messages_of_another_shape_until_the_cut():
    predictor = ToyPredictor()
    held, line = assignment(), pipeline(predictor)
    line.accept(delivery(held, message(record("other", width=9))))
    for index in range(4):
        assert line.accept(delivery(held, message(record(index)))) is None
    assert predictor.batches == [(4, 4)]
    cut = line.cut(FlushReason.DEADLINE)
    assert [pending.delivery.offset for pending in cut.messages] == [0, 1, 2, 3, 4]
    assert predictor.batches == [(4, 4), (1, 9)]


def test_arrays_of_many_shapes_do_not_heap_up():
    predictor = ToyPredictor()
    line = pipeline(predictor)
    widths = range(1, 31)  # no shape comes twice, so that no batch of four ever fills
    line.accept(delivery(assignment(), message(*(record(width, width=width) for width in widths))))
    assert len(predictor.batches) == 24  # three times eight: never more than two batches' worth of arrays wait
    [pending] = line.cut(FlushReason.END).messages
    assert (len(pending.results), pending.waiting) == (30, 0)


def test_a_message_with_many_records_is_prepared_no_further_than_a_batch_ahead():
    class Counting(ToyStream):
        prepared, most = 0, 0

        def prepare(self, record):
            self.prepared += 1
            self.most = max(self.most, self.prepared - 4 * len(predictor.batches))
            return super().prepare(record)

    predictor, stream = ToyPredictor(), Counting()
    line = Pipeline(stream, Lineup(Scorer(1, predictor)), batch_size=4, deadline_s=60, metrics=Metrics())
    line.accept(delivery(assignment(), message(*(record(index) for index in range(102)))))
    [pending] = line.cut(FlushReason.END).messages
    assert [row.at.record for row in pending.results] == list(range(102))
    assert stream.most == 4


class Together(ToyStream):
    """Takes three records at once; one that cannot be prepared keeps all three from it."""

    prepared_together = 3

    def __init__(self) -> None:
        self.calls: list[int] = []

    def prepare_together(self, records):
        self.calls.append(len(records))
        return [self.prepare(each) for each in records]


def company(size: int = 100) -> tuple[Pipeline, Together]:
    stream = Together()
    return Pipeline(
        stream, Lineup(Scorer(1, ToyPredictor())), batch_size=size, deadline_s=60, metrics=Metrics()
    ), stream


def test_records_wait_for_company_across_messages_and_at_a_cut_no_longer():
    held, (line, stream) = assignment(), company()
    sent = [message(record(0), record(1)), message(), message(*(record(index) for index in range(2, 8)))]
    for value in sent:
        line.accept(delivery(held, value))
    assert stream.calls == [3, 3]
    first, empty, last = line.cut(FlushReason.DEADLINE).messages
    assert stream.calls == [3, 3, 2]
    assert [row.at.record for row in first.results] == [0, 1]
    assert empty.empty == [(-1, 0)]
    assert [(row.alert, row.at.record, row.at.records) for row in last.results] == [
        (str(index), index - 2, 6) for index in range(2, 8)
    ]
    assert first.waiting == last.waiting == 0


def test_of_records_that_are_prepared_together_only_the_broken_one_is_lost():
    held, (line, _) = assignment(), company()
    for index, what in enumerate((None, "prepare", "decode", None, None)):
        line.accept(delivery(held, message(record(index, **{"break": what}))))
    messages = line.cut(FlushReason.END).messages
    assert [[row.alert for row in pending.results] for pending in messages] == [["0"], [], [], ["3"], ["4"]]
    assert [[(row.stage, row.error_class) for row in pending.dead] for pending in messages] == [
        [], [("prepare", "ValueError")], [("record", "MalformedError")], [], [],
    ]  # fmt: skip


def test_a_batch_is_no_cut_while_a_record_waits_for_its_preparation():
    held, (line, _) = assignment(), company(size=3)
    assert line.accept(delivery(held, message(*(record(index) for index in range(4))))) is None
    assert line.accept(delivery(held, message(record(4)))) is None
    assert len(line.cut(FlushReason.END).messages) == 2


def test_what_waits_of_a_lost_assignment_is_never_prepared():
    gone, kept, (line, stream) = assignment(), assignment(), company()
    for held in (gone, kept):
        line.accept(delivery(held, message(record(0))))
    line.forget(gone)
    [pending] = line.cut(FlushReason.END).messages
    assert pending.delivery.assignment is kept
    assert stream.calls == []  # one alone needs no company


def test_no_more_than_twice_a_batch_waits():
    held, line = assignment(), pipeline()
    cuts = [line.accept(delivery(held, b"broken")) for _ in range(8)]
    assert cuts[:7] == [None] * 7
    assert len(cuts[7].messages) == 8


def test_results_go_to_the_right_rows():
    held, line = assignment(), pipeline(size=100)
    for index in range(10):
        line.accept(delivery(held, message(record(index, value=float(index), width=4 + index % 3))))
    cut = line.cut(FlushReason.END)
    for index, pending in enumerate(cut.messages):
        [row] = pending.results
        assert row.alert == str(index)
        np.testing.assert_allclose(row.latent, index)
        assert row.class_name == ("high" if index > 5 else "low")


def test_a_value_that_is_not_finite_becomes_null_with_a_reason():
    class Broken(ToyPredictor):
        def predict(self, arrays):
            return super().predict(arrays) | {"anomaly": np.full(len(arrays["x"]), np.nan, np.float32)}

    held, line = assignment(), pipeline(Broken())
    line.accept(delivery(held, message(record(1))))
    [row] = line.cut(FlushReason.END).messages[0].results
    assert row.anomaly is None
    assert row.unscorable
    assert row.latent is not None


def test_a_batch_without_memory_is_halved_down_to_the_item_that_gets_no_score():
    class Small(ToyPredictor):
        """Takes three items at most, and the item of value 7 never."""

        def predict(self, arrays):
            if len(arrays["x"]) > 3 or 7 in arrays["x"][:, 0]:
                raise MemoryError("no room")
            return super().predict(arrays)

    held, line = assignment(), pipeline(Small(), size=100)
    for index in range(10):
        line.accept(delivery(held, message(record(index, value=float(index)))))
    rows = [row for pending in line.cut(FlushReason.END).messages for row in pending.results]
    assert [row.alert for row in rows] == [str(index) for index in range(10)]
    assert [row.alert for row in rows if row.latent is None] == ["7"]
    assert rows[7].unscorable == "the model ran out of memory"
    assert rows[7].anomaly is None
    for index in set(range(10)) - {7}:
        np.testing.assert_allclose(rows[index].latent, index)


def test_the_deadline_counts_from_the_oldest_message(monkeypatch: pytest.MonkeyPatch):
    held, line = assignment(), pipeline(deadline_s=10)
    assert line.seconds_left() is None
    for number in range(2):
        line.accept(replace(delivery(held, message(record(number))), received=1000.0 + number))
    monkeypatch.setattr(pipeline_module, "monotonic", lambda: 1004.0)
    assert line.seconds_left() == 6.0


def test_a_registry_that_is_away_is_no_dead_letter_and_takes_nothing_in():
    class Away(ToyStream):
        def decode(self, value):
            raise BrokerError("the registry is away")

    line = Pipeline(Away(), Lineup(Scorer(1, ToyPredictor())), batch_size=4, deadline_s=1, metrics=Metrics())
    with pytest.raises(BrokerError):
        line.accept(delivery(assignment(), b"x"))
    assert line.cut(FlushReason.END) is None


def test_forgetting_an_assignment_keeps_the_others_work():
    gone, kept, line = assignment(), assignment(), pipeline()
    dropped = delivery(gone, message(record("a")))
    line.accept(dropped)
    line.accept(delivery(kept, message(record("b"))))
    assert line.forget(gone) == dropped.size
    assert line.forget(gone) == 0
    cut = line.cut(FlushReason.END)
    assert [row.alert for pending in cut.messages for row in pending.results] == ["b"]


def test_holes_between_offsets_are_written_down():
    held, line = assignment(10), pipeline(size=100)
    for offset in (10, 11, 14):
        line.accept(delivery(held, message(record(offset)), offset))
    line.accept(delivery(held, None, 20, is_mark=True))
    [run] = batch_of(line.cut(FlushReason.END).messages).runs
    assert (run.first_offset, run.next_offset) == (10, 20)
    assert run.holes == (Hole(12, 14), Hole(15, 20))


def test_a_message_lost_inside_the_engine_is_noticed():
    held, line = assignment(), pipeline(size=100)
    first, _, third = (delivery(held, message(record(index))) for index in range(3))
    line.accept(first)
    line.accept(third)
    with pytest.raises(RuntimeError, match="offset 2 follows 2, but 1 is next"):
        batch_of(line.cut(FlushReason.END).messages)


def test_buckets_part_shapes_and_give_back_everything():
    buckets: Buckets[int] = Buckets(2)
    assert buckets.add("a", 1) is None
    assert buckets.add("b", 2) is None
    assert buckets.add("a", 3) == [1, 3]
    assert len(buckets) == 1
    assert list(buckets.drain()) == [[2]]
    assert len(buckets) == 0


class Named(ToyPredictor):
    """A model of its own hash, whose latents are the value times a factor."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def predict(self, arrays):
        return super().predict({"x": arrays["x"] * np.float32(self.factor)})


def test_a_shadow_gives_rows_of_its_own_beside():
    lineup = Lineup(Scorer(1, ToyPredictor()), (Scorer(2, Named(2)), Scorer(3, Named(3))))
    line = Pipeline(ToyStream(), lineup, batch_size=100, deadline_s=60, metrics=Metrics())
    held = assignment()
    line.accept(delivery(held, message(record("a", value=5.0), record("b", unscorable="too dark"))))
    [pending] = line.cut(FlushReason.END).messages
    assert [(row.model_id, row.alert) for row in pending.results] == [(1, "b"), (1, "a")]
    assert {(row.model_id, row.alert, row.unscorable) for row in pending.shadows} == {
        (2, "a", None), (3, "a", None), (2, "b", "too dark"), (3, "b", "too dark"),
    }  # fmt: skip
    assert {row.model_id: row.latent[0] for row in pending.shadows if row.alert == "a"} == {2: 10.0, 3: 15.0}
    assert [row.at for row in pending.shadows if row.alert == "a"] == [pending.results[1].at] * 2


def test_a_shadow_that_fails_costs_only_its_own_rows():
    class Failing(ToyPredictor):
        def predict(self, arrays):
            raise ZeroDivisionError("a bug in the shadow")

    metrics = Metrics()
    lineup = Lineup(Scorer(1, ToyPredictor()), (Scorer(2, Failing()), Scorer(3, Named(3))))
    line = Pipeline(ToyStream(), lineup, batch_size=2, deadline_s=60, metrics=metrics)
    held = assignment()
    cuts = [line.accept(delivery(held, message(record(index)))) for index in range(4)]
    pending = [one for cut in cuts if cut for one in cut.messages]
    assert [row.model_id for one in pending for row in one.results] == [1] * 4
    assert [row.model_id for one in pending for row in one.shadows] == [3] * 4
    assert metrics.value("fulgor_shadow_lost_total", model_id="2") == 4


def test_another_lineup_takes_over_between_two_batches():
    line, held = pipeline(size=100), assignment()
    line.accept(delivery(held, message(record("a"))))
    line.offer(Lineup(Scorer(2, Named(2))))
    cut = line.accept(delivery(held, message(record("b"))))  # ends the old one's last batch
    assert [row.model_id for one in cut.messages for row in one.results] == [1, 1]
    line.accept(delivery(held, message(record("c"))))
    line.offer(Lineup(Scorer(3, Named(3))))
    line.offer(Lineup(Scorer(4, Named(4))))
    [pending] = line.cut(FlushReason.DEADLINE).messages
    assert [row.model_id for row in pending.results] == [2]
    line.accept(delivery(held, message(record("d"))))
    [pending] = line.cut(FlushReason.END).messages
    assert [(row.model_id, row.latent[0]) for row in pending.results] == [(4, 4.0)]


def test_an_idle_pipeline_takes_over_with_the_next_message():
    line, held = pipeline(size=100), assignment()
    line.offer(Lineup(Scorer(2, Named(2))))
    assert line.accept(delivery(held, message(record("a")))) is None
    [pending] = line.cut(FlushReason.END).messages
    assert [row.model_id for row in pending.results] == [2]

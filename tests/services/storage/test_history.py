"""Earlier alerts found, and rows that lack some of them: whatever the order, and however transactions overlap."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from fulgor.storage.database import connect
from fulgor.storage.feeds import FeedKey, claim, open_segment
from fulgor.storage.history import Observation, find_late, read_earlier
from fulgor.storage.ledger import check
from fulgor.storage.prune import find_nights, prune
from fulgor.storage.registry import register_model
from fulgor.storage.rescores import (
    forget_dropped,
    has_topics_waiting,
    mark_gone,
    read_backlog,
    read_waiting,
    reopen,
    revise,
    waiting_models,
)
from fulgor.storage.rows import History, Result
from fulgor.storage.writer import Writer

pytestmark = pytest.mark.services


def moment(toy, number: int):
    return toy.night + timedelta(minutes=number)


def seen(toy, offset: int, number: int, history: dict[int, str | None], **other) -> Result:
    """The alert `number` of the object x, whose packet names these earlier ones, and which found these."""
    times = tuple(moment(toy, earlier) for earlier in history)
    return toy.result(
        offset, alert=f"x{number}", time=moment(toy, number), object="x",
        history=History(times, tuple(history.values())), **other,
    )  # fmt: skip


def waiting(connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT alert, because FROM fulgor.rescore_queue ORDER BY alert").fetchall()


def test_what_a_model_has_stored_is_found_by_object_and_time(toy):
    second = register_model(toy.connection, toy.card | {"name": "toy-2", "hash": "c" * 16})
    same = moment(toy, 0)
    rows = [
        toy.result(0, alert="b", object="x", time=same),
        toy.result(1, alert="a", object="x", time=same),
        toy.result(2, alert="blank", object="x", time=moment(toy, 1), stamp_latent=None, unscorable="no stamp"),
        toy.result(3, alert="y", object="y", time=same),
    ]
    toy.write(rows, next_offset=4)
    read = partial(read_earlier, toy.connection, "toy")
    wanted = [Observation("x", same), Observation("x", moment(toy, 1)), Observation("z", same), Observation("x", same)]
    [(found, earlier)] = read(toy.model_id, wanted).items()
    assert (found, earlier.alert) == (wanted[0], "a")  # of two at one time the first by name, whichever came first
    np.testing.assert_array_equal(earlier.stamp_latent, rows[1].stamp_latent)
    assert read(second, wanted) == {}
    assert read(toy.model_id, []) == {}


def test_rows_in_order_are_not_late_and_the_view_shows_what_they_used(toy):
    toy.write([seen(toy, 0, 0, {}), toy.result(1)], next_offset=2)
    toy.write([seen(toy, 2, 1, {0: "x0"})], next_offset=3)
    toy.write([seen(toy, 3, 5, {0: "x0", 1: "x1", 3: None})], next_offset=4)
    assert read_backlog(toy.connection).uncompared == 3  # not the row of a model that takes no history
    assert find_late(toy.connection) == 0
    assert str(read_backlog(toy.connection)) == "0 rows late, 0 not compared yet, 0 gone"
    shown = "SELECT history, history_absent FROM fulgor.latents WHERE alert = %s"
    assert toy.connection.execute(shown, ["x5"]).fetchone() == (["x0", "x1"], 1)
    assert toy.connection.execute(shown, ["a1.0.0"]).fetchone() == (None, None)


@pytest.mark.parametrize("apart", [True, False])
def test_a_late_alert_queues_those_that_name_it(toy, apart):
    later = [seen(toy, 0, 3, {0: None, 1: None}), seen(toy, 1, 4, {1: None, 3: None}), seen(toy, 2, 9, {8: None})]
    late = [seen(toy, 3, 1, {0: None})]
    if apart:
        toy.write(later, next_offset=3)
        assert find_late(toy.connection) == 1  # x3 came with x4, which did not see it
        toy.write(late, next_offset=4)
    else:
        toy.write(later + late, next_offset=4)
    assert find_late(toy.connection) == 2
    assert waiting(toy.connection) == [("x3", "x1"), ("x4", "x1")]
    assert find_late(toy.connection) == 0
    toy.write([seen(toy, 4, 1, {0: None})], next_offset=5)  # again: a duplicate changes nothing
    assert read_backlog(toy.connection).uncompared == 0


def test_a_shadow_models_rows_are_compared_with_its_own(toy):
    second = register_model(toy.connection, toy.card | {"name": "toy-2", "hash": "c" * 16})
    later = toy.result(0, alert="x1", time=moment(toy, 1), object="x")  # the live model takes no history
    history = History((moment(toy, 0),), (None,))
    batch = toy.batch([later], next_offset=1)
    toy.writer.write(replace(batch, shadows=[replace(later, model_id=second, history=history)]))
    toy.next_offset = 1
    toy.write([toy.result(1, alert="x0", time=moment(toy, 0), object="x")], next_offset=2)
    assert find_late(toy.connection) == 0
    assert waiting(toy.connection) == []
    row = toy.result(2, alert="x0", time=moment(toy, 0), object="x", model_id=second, history=History((), ()))
    toy.write([row], next_offset=3)
    assert find_late(toy.connection) == 1
    assert waiting_models(toy.connection) == [second]


@pytest.mark.parametrize("first", ["early", "late"])
def test_transactions_that_cannot_see_each_other(toy, first):
    """Two partitions, two consumers: the job looks after each commit, and the second look finds it."""
    with connect(toy.url) as one, connect(toy.url) as two:
        claimed = claim(two, FeedKey("g", "c", "topic", "", 1), stream="toy", owner="other")
        assert open_segment(two, claimed, 0, reason="earliest")
        feeds = [
            replace(toy, writer=Writer(one, toy.table)),
            replace(toy, claim=claimed, writer=Writer(two, toy.table)),
        ]
        for number, feed in enumerate(feeds):
            feed.write([feed.result(0, alert=f"other{number}")], next_offset=1)  # partitions are there from here on
        rows = [seen(feeds[0], 1, 0, {}), seen(feeds[1], 1, 1, {0: None})]
        ends = {"early": one.transaction(), "late": two.transaction()}
        with ends.pop("late" if first == "early" else "early"):
            with ends.popitem()[1]:
                for feed, row in zip(feeds, rows, strict=True):
                    feed.write([row], next_offset=2)
            assert find_late(toy.connection) == 0  # one is there, the other is not yet to be seen
        assert find_late(toy.connection) == 1
    assert waiting(toy.connection) == [("x1", "x0")]


def test_rows_are_revised_in_place_or_marked(toy):
    toy.write([seen(toy, number, number, {number - 1: None}) for number in range(4)], next_offset=4)
    assert find_late(toy.connection) == 3
    assert has_topics_waiting(toy.connection)
    page = read_waiting(toy.connection, "toy", toy.model_id, 2)
    assert [row.alert for row in page] == ["x1", "x2"]
    assert [row.alert for row in read_waiting(toy.connection, "toy", toy.model_id, 2, page[-1])] == ["x3"]
    assert (page[0].cluster, page[0].topic, page[0].partition, page[0].offset) == ("c", "topic", 0, 1)
    stamp = toy.value("SELECT stamp_latent FROM fulgor.latent WHERE alert = 'x1'")
    again = seen(toy, 77, 1, {0: "x0"}, anomaly=0.25, latent=np.ones(64, np.float32))
    revise(toy.connection, "toy", [again])
    row = toy.connection.execute(
        'SELECT "offset", anomaly, history, latent, stamp_latent, revised_at > stored_at FROM fulgor.latent'
        " WHERE alert = 'x1'"
    ).fetchone()
    assert row[:3] == (1, 0.25, ["x0"])
    assert row[3].to_list() == [1.0] * 64
    assert (row[4], row[5]) == (stamp, True)
    assert check(toy.connection).closed
    mark_gone(toy.connection, "toy", toy.model_id, [(page[1], "the topic is gone")])
    assert str(read_backlog(toy.connection)) == "1 rows late, 0 not compared yet, 1 gone"
    gone = toy.connection.execute("SELECT alert, model, because, gone FROM fulgor.late_history WHERE gone IS NOT NULL")
    assert gone.fetchall() == [("x2", "toy-1", "x1", "the topic is gone")]
    assert reopen(toy.connection) == 1
    assert read_backlog(toy.connection).late == 2


def test_a_dropped_night_makes_no_row_late_and_leaves_no_row_waiting(toy):
    day = timedelta(days=1)
    dropped = [seen(toy, 0, 0, {}), seen(toy, 1, 1, {0: None})]
    kept = toy.result(
        2, alert="later", time=toy.night + day, object="x",
        history=History((moment(toy, 0), moment(toy, 1)), ("x0", None)),
    )  # fmt: skip
    toy.write([*dropped, kept], next_offset=3)
    assert find_late(toy.connection) == 2
    for night in find_nights(toy.connection, (toy.night + day).date()):
        prune(toy.connection, night, idle=timedelta(0))
    forget_dropped(toy.connection)
    assert waiting(toy.connection) == [("later", "x1")]
    toy.connection.execute("DELETE FROM fulgor.rescore_queue")
    toy.write([toy.result(3, alert="z", time=toy.night + day, object="x", history=History((), ()))], next_offset=4)
    assert find_late(toy.connection) == 0  # that x0 is stored no more changes nothing

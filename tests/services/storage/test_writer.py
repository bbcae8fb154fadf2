from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import numpy as np
import psycopg
import pytest

from fulgor.storage.database import connect
from fulgor.storage.feeds import FeedKey, claim, open_segment
from fulgor.storage.registry import register_model
from fulgor.storage.rows import Hole
from fulgor.storage.writer import FencedError, Writer

pytestmark = pytest.mark.services

TABLES = ("latent", "toy_alert", "duplicate", "dead_letter", "dead_message", "empty", "skipped")


def counts(toy):
    return {table: found for table in TABLES if (found := toy.count(table))}


def offset(toy):
    return toy.value("SELECT next_offset FROM fulgor.feed WHERE feed_id = %s", toy.claim.feed_id)


def test_rows_and_offset(toy):
    row = toy.result(0, flags=2**40, columns=(359.5, -89.0, 2**61, 2, 21.25), scores=[0.5, None], anomaly=None)
    outcome = toy.write([row, toy.result(1)], next_offset=2)
    assert (outcome.stored, outcome.duplicates, outcome.dead) == (2, 0, [])
    assert offset(toy) == 2
    assert counts(toy) == {"latent": 2, "toy_alert": 2}
    stored = toy.connection.execute(
        "SELECT time, object, flags, latent, probabilities, class, scores, anomaly, appended_at, model_id,"
        " feed_id, segment, \"offset\", record, item, records, items FROM fulgor.latent WHERE alert = 'a0.0.0'"
    ).fetchone()
    np.testing.assert_array_equal(stored[3].to_numpy(), row.latent)
    assert stored[:3] == (row.time, row.object, 2**40)
    assert stored[4:10] == ([0.25, 0.75], "SN", [0.5, None], None, row.appended_at, toy.model_id)
    assert stored[10:] == row.at
    own = "SELECT ra, dec, healpix, fid, magpsf, class FROM fulgor.toy_alerts WHERE alert = 'a0.0.0'"
    assert toy.connection.execute(own).fetchone() == (359.5, -89.0, 2**61, 2, 21.25, "SN")


def test_an_unscorable_row_has_nulls_and_the_reason(toy):
    row = toy.result(
        0, latent=None, stamp_latent=None, probabilities=None, class_name=None, scores=None, anomaly=None,
        unscorable="no stamps",
    )  # fmt: skip
    toy.write([row], next_offset=1)
    query = "SELECT latent, stamp_latent, probabilities, class, scores, anomaly, unscorable FROM fulgor.latents"
    assert toy.connection.execute(query).fetchone() == (*[None] * 6, "no stamps")


def test_the_same_batch_again_is_fenced(toy):
    batch = toy.batch([toy.result(0)], next_offset=1)
    toy.writer.write(batch)
    with pytest.raises(FencedError) as caught:
        toy.writer.write(batch)
    assert caught.value.feeds == {toy.claim.feed_id}
    assert counts(toy) == {"latent": 1, "toy_alert": 1}
    assert offset(toy) == 1


def test_a_raised_epoch_fences(toy):
    claim(toy.connection, FeedKey("g", "c", "topic", "", 0), stream="toy", owner="other")
    with pytest.raises(FencedError):
        toy.write([toy.result(0)], [toy.dead(1)], next_offset=2)
    assert counts(toy) == {}
    assert offset(toy) == 0


def test_one_fenced_feed_of_two_can_be_left_out(toy):
    other = claim(toy.connection, FeedKey("g", "c", "topic", "", 1), stream="toy", owner="test")
    open_segment(toy.connection, other, 0, reason="earliest")
    mine = toy.batch([toy.result(0)], next_offset=1)
    run = replace(mine.runs[0], feed_id=other.feed_id, epoch=other.epoch + 1)
    theirs = toy.result(5)
    both = replace(
        mine,
        runs=[*mine.runs, run],
        results=[*mine.results, replace(theirs, at=theirs.at._replace(feed_id=other.feed_id))],
    )
    with pytest.raises(FencedError) as caught:
        toy.writer.write(both)
    assert caught.value.feeds == {other.feed_id}
    assert counts(toy) == {}
    assert toy.writer.write(both.without(caught.value.feeds)).stored == 1
    assert offset(toy) == 1


def test_a_feed_that_is_gone_fences(toy):
    batch = toy.batch([toy.result(0)], next_offset=1)
    with pytest.raises(FencedError):
        toy.writer.write(replace(batch, runs=[replace(batch.runs[0], feed_id=10**6)]))


def test_the_same_alert_in_one_batch_is_one_row_and_one_duplicate(toy):
    outcome = toy.write([toy.result(i, alert="x", time=toy.night) for i in range(2)], next_offset=2)
    assert (outcome.stored, outcome.duplicates, outcome.dead) == (1, 1, [])
    assert toy.value("SELECT \"offset\" FROM fulgor.duplicate WHERE alert = 'x'") == 1


def test_the_same_alert_under_another_time_is_stored_twice(toy):
    outcome = toy.write([toy.result(i, alert="x") for i in range(2)], next_offset=2)
    assert (outcome.stored, outcome.duplicates, outcome.dead) == (2, 0, [])


def test_the_same_alert_in_another_feed_is_a_duplicate(toy):
    toy.write([toy.result(0, alert="x")], next_offset=1)
    claimed = claim(toy.connection, FeedKey("h", "c", "topic", "", 0), stream="toy", owner="test")
    open_segment(toy.connection, claimed, 0, reason="earliest")
    toy.claim, toy.next_offset = claimed, 0
    outcome = toy.write([toy.result(0, alert="x")], next_offset=1)
    assert (outcome.stored, outcome.duplicates) == (0, 1)


def test_another_model_stores_its_own_row(toy):
    toy.write([toy.result(0)], next_offset=1)
    second = register_model(toy.connection, toy.card | {"name": "toy-2", "hash": "c" * 16})
    claimed = claim(toy.connection, FeedKey("rescore", "c", "topic", "", 0), stream="toy", owner="test")
    open_segment(toy.connection, claimed, 0, reason="earliest")
    toy.claim, toy.next_offset = claimed, 0
    with connect(toy.url) as connection:
        toy.writer, toy.model_id = Writer(connection, toy.table), second
        assert toy.write([toy.result(0)], next_offset=1).stored == 1
    assert counts(toy) == {"latent": 2, "toy_alert": 1}
    assert toy.value("SELECT count(*) FROM fulgor.toy_alerts") == 1  # the live model's


@pytest.mark.parametrize("together", [True, False])
def test_other_content_under_a_known_id_is_a_variant(toy, together):
    first = toy.result(0, alert="x", time=toy.night)
    other = toy.result(1, alert="x", time=toy.night, content_hash=b"!" * 16)
    if together:
        outcome = toy.write([first, other], next_offset=2)
    else:
        toy.write([first], next_offset=1)
        outcome = toy.write([other], next_offset=2)
    assert [(letter.at.offset, letter.error_class) for letter in outcome.dead] == [(1, "variant")]
    assert counts(toy) == {"latent": 1, "toy_alert": 1, "dead_letter": 1, "dead_message": 1}
    assert toy.value("SELECT value FROM fulgor.dead_message") == b"bytes 1"
    assert offset(toy) == 2


POISON = {
    "a NUL byte in a text": {"object": "o\x00"},
    "half a surrogate pair": {"object": "o\ud800"},
    "an int2 column overflows": {"columns": (1.0, 2.0, 3, 40_000, 18.0)},
    "an int4-sized wrap in an int2 column": {"columns": (1.0, 2.0, 3, 65_537, 18.0)},
    "an int8 column overflows": {"columns": (1.0, 2.0, 2**63, 1, 18.0)},
    "a float4 column overflows": {"columns": (1.0, 2.0, 3, 1, 1e300)},
    "a fraction in an integer column": {"columns": (1.0, 2.0, 3, 1.5, 18.0)},
    "flags overflow": {"flags": 2**63},
    "a vector that is too short": {"latent": np.zeros(63, np.float32)},
    "a vector of two axes": {"latent": np.zeros((8, 8), np.float32)},
    "NaN in a vector": {"latent": np.full(64, np.nan, np.float32)},
    "infinity in a vector": {"latent": np.full(64, np.inf, np.float32)},
    "NULL where there must be a value": {"object": None},
    "an alert id too long for its index": {"alert": "".join(map(str, np.random.default_rng(1).bytes(4000)))},
}


@pytest.mark.parametrize("fault", POISON)
def test_one_poisoned_row_of_256_costs_itself(toy, fault):
    rows = [toy.result(i) for i in range(256)]
    rows[100] = replace(rows[100], **POISON[fault])
    outcome = toy.write(rows, next_offset=256)
    assert outcome.stored == 255
    assert [(letter.at.offset, letter.stage) for letter in outcome.dead] == [(100, "database")]
    assert counts(toy) == {"latent": 255, "toy_alert": 255, "dead_letter": 1, "dead_message": 1}
    assert offset(toy) == 256


def test_several_poisoned_rows(toy):
    rows = [toy.result(i, **({"object": "\x00"} if i in {0, 1, 31} else {})) for i in range(32)]
    outcome = toy.write(rows, next_offset=32)
    assert (outcome.stored, sorted(letter.at.offset for letter in outcome.dead)) == (29, [0, 1, 31])


def test_a_reason_and_headers_may_hold_anything(toy):
    batch = toy.batch((), [replace(toy.dead(0), reason="a\x00b\ud800" + "x" * 10_000)], next_offset=1)
    message = replace(batch.messages[toy.claim.feed_id, 0], headers=[("k\x00\ud800", b"\xff"), ("n", None)])
    toy.writer.write(replace(batch, messages={(toy.claim.feed_id, 0): message}))
    assert toy.value("SELECT reason FROM fulgor.dead_letter").startswith("a\\x00b\\ud800xxx")
    assert toy.value("SELECT headers FROM fulgor.dead_message") == [["k\\x00\\ud800", "ff"], ["n", None]]


@pytest.mark.parametrize("time", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_impossible_times_have_a_partition(toy, time):
    assert toy.write([toy.result(0, time=time), toy.result(1)], next_offset=2).stored == 2
    assert toy.value("SELECT time FROM fulgor.latent WHERE alert = 'a0.0.0'") == time
    assert toy.value("SELECT tableoid::regclass::text FROM fulgor.latent WHERE alert = 'a0.0.0'").endswith(
        ("_early", "_late")
    )


def test_days_lie_in_partitions_of_their_own(toy):
    toy.write([toy.result(i, time=toy.night + timedelta(days=i)) for i in range(3)], next_offset=3)
    found = toy.connection.execute("SELECT tableoid::regclass::text FROM fulgor.latent ORDER BY time").fetchall()
    assert [name for (name,) in found] == [f"latent_toy_2026030{i}" for i in (1, 2, 3)]


def test_two_writers_make_the_same_partitions_at_once(toy):
    barrier, problems = Barrier(2), []

    def work(partition):
        with connect(toy.url) as connection:
            claimed = claim(connection, FeedKey("g", "c", "many", "", partition), stream="toy", owner="test")
            open_segment(connection, claimed, 0, reason="earliest")
            writer = Writer(connection, toy.table)
            mine = replace_claim(toy, claimed)
            rows = [mine(i, alert=f"{partition}.{i}", time=toy.night + timedelta(days=i)) for i in range(20)]
            run = replace(toy.batch((), next_offset=20).runs[0], feed_id=claimed.feed_id, epoch=claimed.epoch)
            barrier.wait(60)
            try:
                writer.write(replace(toy.batch((), next_offset=20), runs=[run], results=rows))
            except psycopg.Error as error:
                problems.append(error)

    threads = [Thread(target=work, args=[partition]) for partition in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not problems
    assert counts(toy) == {"latent": 40, "toy_alert": 40}


def replace_claim(toy, claimed):
    def result(offset, **other):
        row = toy.result(offset, **other)
        return replace(row, at=row.at._replace(feed_id=claimed.feed_id))

    return result


def test_a_reader_does_not_hold_up_a_new_partition(toy):
    toy.fill(1)
    with connect(toy.url) as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM fulgor.toy_alerts")
        toy.writer._connection.execute("SET lock_timeout = '20s'")
        assert toy.write([toy.result(1, time=toy.night + timedelta(days=9))], next_offset=2).stored == 1


def test_a_partition_dropped_under_the_writer_is_made_again(toy):
    toy.fill(2)
    toy.connection.execute("DROP TABLE fulgor.latent_toy_20260301; DROP TABLE fulgor.toy_alert_20260301")
    outcome = toy.fill(2)
    assert (outcome.stored, outcome.dead) == (2, [])
    assert offset(toy) == 4


def test_a_backend_killed_before_commit_leaves_nothing(toy, monkeypatch):
    def die(run):
        victim = toy.writer._connection.info.backend_pid
        toy.value("SELECT pg_terminate_backend(%s, 60000)", victim)

    monkeypatch.setattr(toy.writer, "_move", die)
    with pytest.raises(psycopg.OperationalError):
        toy.write([toy.result(0)], [toy.dead(1)], [(2, -1, 0)], next_offset=3)
    assert counts(toy) == {}
    assert offset(toy) == 0


def test_holes_and_empties(toy):
    holes = (Hole(1, 4), Hole(5, 6, "compacted", "by policy"))
    outcome = toy.write([toy.result(0)], (), [(4, -1, 0), (6, 0, 1)], next_offset=7, holes=holes)
    assert outcome.stored == 1
    skipped = toy.connection.execute("SELECT first_offset, next_offset, cause, note FROM fulgor.skipped").fetchall()
    assert skipped == [(1, 4, "unknown", None), (5, 6, "compacted", "by policy")]
    empty = toy.connection.execute('SELECT "offset", record, records FROM fulgor.empty').fetchall()
    assert empty == [(4, -1, 0), (6, 0, 1)]
    assert offset(toy) == 7


def test_a_hole_alone_moves_the_offset(toy):
    toy.write(next_offset=5, holes=(Hole(0, 5),))
    assert offset(toy) == 5


def test_the_bytes_of_a_message_are_kept_once(toy):
    toy.write([toy.result(0, 1, records=3)], [toy.dead(0, 0, records=3), toy.dead(0, 2, records=3)], next_offset=1)
    assert counts(toy) == {"latent": 1, "toy_alert": 1, "dead_letter": 2, "dead_message": 1}


class TestRedrive:
    def batch(self, toy, results=(), dead=(), empty=()):
        return replace(toy.batch(results, dead, empty, next_offset=toy.next_offset), runs=[])

    def letters(self, toy):
        return toy.connection.execute(
            'SELECT "offset", record, status, attempts FROM fulgor.dead_letter ORDER BY 1, 2'
        ).fetchall()

    def test_a_mended_record_closes_its_letter(self, toy):
        toy.write((), [toy.dead(0), toy.dead(1)], next_offset=2)
        assert toy.writer.redrive(self.batch(toy, [toy.result(0)])).stored == 1
        assert self.letters(toy) == [(0, 0, "redriven", 2), (1, 0, "dead", 1)]
        assert offset(toy) == 2

    def test_one_that_fails_again_stays_and_counts(self, toy):
        toy.write((), [toy.dead(0)], next_offset=1)
        toy.writer.redrive(self.batch(toy, dead=[replace(toy.dead(0), reason="still cut short")]))
        assert self.letters(toy) == [(0, 0, "dead", 2)]
        assert toy.value("SELECT reason FROM fulgor.dead_letter") == "still cut short"

    def test_one_that_the_database_refuses_again_stays(self, toy):
        toy.write([toy.result(0, object="\x00")], next_offset=1)
        outcome = toy.writer.redrive(self.batch(toy, [toy.result(0, object="\x00")]))
        assert (outcome.stored, len(outcome.dead)) == (0, 1)
        assert self.letters(toy) == [(0, 0, "dead", 2)]

    def test_twice_is_once(self, toy):
        toy.write((), [toy.dead(0)], next_offset=1)
        again = self.batch(toy, [toy.result(0)])
        toy.writer.redrive(again)
        outcome = toy.writer.redrive(again)
        assert (outcome.stored, outcome.duplicates) == (0, 0)
        assert counts(toy) == {"latent": 1, "toy_alert": 1, "dead_letter": 1, "dead_message": 1}

    def test_a_whole_message_becomes_its_records(self, toy):
        toy.write((), [toy.dead(0)], next_offset=1)
        mended = [toy.result(0, record, records=3) for record in (0, 2)]
        toy.writer.redrive(self.batch(toy, mended, [toy.dead(0, 1, records=3)]))
        assert self.letters(toy) == [(0, 0, "redriven", 2), (0, 1, "dead", 1)]
        assert toy.count("latent") == 2

    def test_one_dead_record_leaves_the_others_alone(self, toy):
        toy.write([toy.result(0, 0, records=2)], [toy.dead(0, 1, records=2)], next_offset=1)
        outcome = toy.writer.redrive(self.batch(toy, [toy.result(0, record, records=2) for record in (0, 1)]))
        assert (outcome.stored, outcome.duplicates) == (1, 0)
        assert counts(toy)["latent"] == 2

    def test_a_message_that_turns_out_empty(self, toy):
        toy.write((), [toy.dead(0)], next_offset=1)
        toy.writer.redrive(self.batch(toy, empty=[(0, -1, 0)]))
        assert self.letters(toy) == [(0, 0, "redriven", 2)]
        assert counts(toy)["empty"] == 1

    def test_an_alert_known_meanwhile_is_a_duplicate(self, toy):
        toy.write([toy.result(0, alert="x", time=toy.night)], [toy.dead(1)], next_offset=2)
        outcome = toy.writer.redrive(self.batch(toy, [toy.result(1, alert="x", time=toy.night)]))
        assert (outcome.stored, outcome.duplicates) == (0, 1)
        assert self.letters(toy) == [(1, 0, "redriven", 2)]

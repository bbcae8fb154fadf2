"""Each kind of damage is planted in a ledger that closes, and must be named."""

import pytest

from fulgor.storage.feeds import FeedKey, claim, open_segment
from fulgor.storage.ledger import check, read_accounts
from fulgor.storage.rows import Hole

pytestmark = pytest.mark.services


@pytest.fixture
def ledger(toy):
    """Offsets 100 to 119: rows, duplicates, dead letters, messages of many records and items, empties, holes."""
    toy.connection.execute("UPDATE fulgor.segment SET first_offset = 100")
    toy.connection.execute("UPDATE fulgor.feed SET next_offset = 100")
    toy.next_offset = 100
    toy.fill(5)  # 100..104
    toy.write([toy.result(i, alert="twice", time=toy.night) for i in (105, 106)], [toy.dead(107)], next_offset=108)
    items = [(0, 0, 2), (0, 1, 2), (2, 0, 1)]
    toy.write(
        [toy.result(108, record, item, 4, count) for record, item, count in items],
        [toy.dead(108, 3, records=4)],
        [(108, 1, 4), (109, -1, 0)],
        next_offset=110,
    )
    toy.write([toy.result(114)], holes=(Hole(110, 112), Hole(112, 114)), next_offset=115)
    toy.fill(5)  # 115..119
    return toy


def damage(ledger, statement, *parameters):
    """Plant damage and return the findings as (offset, kind, detail)."""
    ledger.connection.execute(statement, parameters or None)
    report = check(ledger.connection)
    assert not report.closed
    assert all((finding.topic, finding.partition, finding.group) == ("topic", 0, "g") for finding in report.findings)
    return [(finding.offset, finding.kind, finding.detail) for finding in report.findings]


def copied(ledger, where, **changed):
    """Return a statement that stores a copy of a row at other coordinates."""
    changed = {"alert": "'copy'", **changed}
    columns = [
        name
        for (name,) in ledger.connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'fulgor.latent'::regclass AND attnum > 0"
        )
    ]
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(str(changed.get(name, f'"{name}"')) for name in columns)
    # Its row in the stream's own table is copied too, so that nothing but the account is wrong.
    return (
        'INSERT INTO fulgor.toy_alert (alert, time, object, content_hash, feed_id, segment, "offset", record, item)'
        f" SELECT {changed['alert']}, time, object, content_hash, feed_id, segment, 1, 0, 0 FROM fulgor.toy_alert"
        f" WHERE {where}; INSERT INTO fulgor.latent ({names}) SELECT {values} FROM fulgor.latent WHERE {where}"
    )


def test_it_closes(ledger):
    report = check(ledger.connection)
    assert (report.closed, list(report.findings), list(report.warnings)) == (True, [], [])
    (account,) = report.accounts
    assert (account.first_offset, account.next_offset, account.open) == (100, 120, True)
    assert (account.stored, account.duplicates, account.dead, account.empty, account.skipped) == (15, 1, 2, 2, 4)


def test_an_empty_database_closes(toy):
    assert check(toy.connection).closed


def test_it_closes_after_redrive(ledger):
    batch = ledger.batch([ledger.result(107)], next_offset=ledger.next_offset)
    batch.runs.clear()
    ledger.writer.redrive(batch)
    report = check(ledger.connection)
    assert report.closed
    assert (report.accounts[0].stored, report.accounts[0].dead) == (16, 1)


@pytest.mark.parametrize(
    ("statement", "offset", "kind", "words"),
    [
        ('DELETE FROM fulgor.latent WHERE "offset" = 103', 103, "missing", "offset 103 neither"),
        ('DELETE FROM fulgor.latent WHERE "offset" IN (100, 101)', 100, "missing", "offsets 100 to 101 neither"),
        ('DELETE FROM fulgor.latent WHERE "offset" = 119', 119, "missing", "offset 119 neither"),
        ("DELETE FROM fulgor.duplicate", 106, "missing", "offset 106"),
        ('DELETE FROM fulgor.dead_letter WHERE "offset" = 107', 107, "missing", "offset 107"),
        ("UPDATE fulgor.dead_letter SET status = 'redriven' WHERE \"offset\" = 107", 107, "missing", "offset 107"),
        ("DELETE FROM fulgor.empty WHERE record = -1", 109, "missing", "offset 109"),
        ("DELETE FROM fulgor.skipped WHERE first_offset = 112", 112, "missing", "offsets 112 to 113"),
        ("UPDATE fulgor.feed SET next_offset = 122", 120, "missing", "offsets 120 to 121"),
        ("UPDATE fulgor.segment SET first_offset = 98", 98, "missing", "offsets 98 to 99"),
        ("UPDATE fulgor.feed SET next_offset = 119", 119, "beyond", "offset 119"),
        ("UPDATE fulgor.segment SET first_offset = 101", 100, "before", "offset 100"),
        ("UPDATE fulgor.skipped SET next_offset = 115 WHERE first_offset = 112", 114, "overlap", "stored a114.0.0"),
        ("UPDATE fulgor.skipped SET next_offset = 113 WHERE first_offset = 110", 112, "overlap", "skipped twice"),
        (
            "INSERT INTO fulgor.skipped SELECT feed_id, 0, 102, 103, 'operator' FROM fulgor.feed",
            102, "overlap", "stored a102.0.0",
        ),
        (
            ("INSERT INTO fulgor.duplicate SELECT feed_id, segment, \"offset\", record, item, records, items, 'x'"
            ' FROM fulgor.latent WHERE "offset" = 104'),
            104, "doubled", "record 0 item 0 is accounted for 2 times: duplicate x and stored a104.0.0",
        ),
        (
            "INSERT INTO fulgor.empty SELECT feed_id, 0, 101, -1, 0 FROM fulgor.feed",
            101, "doubled", "empty and stored a101.0.0",
        ),
        (
            ("INSERT INTO fulgor.dead_message SELECT feed_id, segment, 105, value FROM fulgor.dead_message LIMIT 1;"
            ' UPDATE fulgor.dead_letter SET "offset" = 105 WHERE "offset" = 107;'
            "INSERT INTO fulgor.skipped SELECT feed_id, 0, 107, 108, 'operator' FROM fulgor.feed"),
            105, "doubled", "and stored twice",
        ),
        ("DELETE FROM fulgor.latent WHERE alert = 'a108.0.1'", 108, "incomplete", "record 0: item 1 of 2"),
        ("DELETE FROM fulgor.latent WHERE alert = 'a108.2.0'", 108, "incomplete", "record 2 of 4"),
        ("DELETE FROM fulgor.empty WHERE record = 1", 108, "incomplete", "record 1 of 4"),
        ('DELETE FROM fulgor.dead_letter WHERE "offset" = 108', 108, "incomplete", "record 3 of 4"),
        ("UPDATE fulgor.latent SET items = 3 WHERE alert = 'a108.0.1'", 108, "inconsistent", "2 or 3 items"),
        ("UPDATE fulgor.latent SET records = 5 WHERE alert = 'a108.0.1'", 108, "inconsistent", "4 or 5 records"),
        ("UPDATE fulgor.latent SET record = 1 WHERE \"offset\" = 100", 100, "incomplete", "record 0 of 1"),
        ("UPDATE fulgor.latent SET item = 1 WHERE \"offset\" = 100", 100, "incomplete", "item 0 of 1"),
        ("DELETE FROM fulgor.toy_alert WHERE alert = 'a101.0.0'", 101, "no alert row", "alert a101.0.0"),
        ("UPDATE fulgor.latent SET model_id = 1000099 WHERE alert = 'a101.0.0'", 101, "no model", "model 1000099"),
        ("UPDATE fulgor.latent SET segment = 7 WHERE alert = 'a119.0.0'", 119, "missing", "offset 119"),
    ],
)  # fmt: skip
def test_damage_is_named(ledger, statement, offset, kind, words):
    found = damage(ledger, statement)
    assert found[0][:2] == (offset, kind)
    assert words in found[0][2]
    assert len(found) == 1 or "segment = 7" in statement


def test_a_row_of_another_segment_is_named_too(ledger):
    found = damage(ledger, "UPDATE fulgor.latent SET segment = 7 WHERE alert = 'a119.0.0'")
    assert [row[:2] for row in found] == [(119, "missing"), (119, "no segment")]


def test_a_doubled_row(ledger):
    statement = copied(ledger, "alert = 'a103.0.0'")
    assert damage(ledger, statement) == [
        (103, "doubled", "record 0 item 0 is accounted for 2 times: stored a103.0.0 and stored copy")
    ]


def test_a_record_and_an_item_too_many(ledger):
    assert damage(ledger, copied(ledger, "alert = 'a103.0.0'", record=1))[0] == (
        103, "inconsistent", "the message has 1 records, record 1 is beyond"
    )  # fmt: skip
    assert damage(ledger, copied(ledger, "alert = 'a104.0.0'", item=1, alert="'copy2'"))[1] == (
        104, "inconsistent", "record 0 has 1 items, item 1 is beyond"
    )  # fmt: skip


def test_a_row_beyond_the_end_and_one_before_the_start(ledger):
    ledger.connection.execute(copied(ledger, "alert = 'a103.0.0'", offset=50))
    assert damage(ledger, copied(ledger, "alert = 'a103.0.0'", offset=125, alert="'copy2'")) == [
        (50, "before", "offset 50 accounted for, but the segment begins later"),
        (125, "beyond", "offset 125 accounted for, but the stored next offset lies before"),
    ]


def test_items_that_only_sum_up(ledger):
    """Counts, sums and extremes agree, and still one item is missing and one doubled."""
    ledger.next_offset = 120
    ledger.write([ledger.result(120, 0, item, 1, 5) for item in range(5)], next_offset=121)
    ledger.connection.execute("UPDATE fulgor.latent SET item = 0 WHERE alert = 'a120.0.1'")
    found = damage(ledger, "UPDATE fulgor.latent SET item = 3 WHERE alert = 'a120.0.2'")
    assert found[0][:2] == (120, "doubled")


def test_rows_of_a_feed_that_is_gone(ledger):
    ledger.connection.execute("UPDATE fulgor.latent SET feed_id = 1000077 WHERE alert = 'a119.0.0'")
    kinds = {(finding.offset, finding.kind) for finding in check(ledger.connection).findings}
    assert kinds == {(119, "missing"), (119, "no feed")}


def test_a_feed_without_its_segment(ledger):
    found = damage(ledger, "DELETE FROM fulgor.segment")
    assert {row[1] for row in found} == {"no segment"}


def test_the_same_id_under_two_times_is_a_warning(ledger):
    ledger.next_offset = 120
    ledger.write([ledger.result(i, alert="moved") for i in (120, 121)], next_offset=122)
    report = check(ledger.connection)
    assert report.closed
    assert len(report.warnings) == 1
    assert "toy alert moved is stored under 2 times" in report.warnings[0]


class TestSegments:
    @pytest.fixture
    def rewound(self, ledger):
        """The feed was rewound from 120 to 110: segment 1."""
        ledger.connection.execute("UPDATE fulgor.feed SET segment = 1, next_offset = 110")
        ledger.connection.execute("INSERT INTO fulgor.segment SELECT feed_id, 1, 110, 'rewind' FROM fulgor.feed")
        ledger.claim = claim(ledger.connection, FeedKey("g", "c", "topic", "", 0), stream="toy", owner="test")
        ledger.next_offset = 110
        ledger.write([ledger.result(114)], holes=(Hole(110, 114),), next_offset=115)
        return ledger

    def test_offsets_may_be_accounted_for_again(self, rewound):
        report = check(rewound.connection)
        assert report.closed
        assert [(a.segment, a.open, a.first_offset, a.next_offset) for a in report.accounts] == [
            (0, False, 100, None),
            (1, True, 110, 115),
        ]
        assert report.accounts[1].duplicates == 1

    def test_a_closed_segment_has_no_gaps(self, rewound):
        report_of = damage(rewound, 'DELETE FROM fulgor.latent WHERE "offset" = 103')
        assert report_of == [(103, "missing", "offset 103 neither accounted for nor skipped")]

    def test_the_open_one_is_checked_too(self, rewound):
        found = damage(rewound, "DELETE FROM fulgor.duplicate WHERE segment = 1")
        assert found == [(114, "missing", "offset 114 neither accounted for nor skipped")]
        assert check(rewound.connection).findings[0].segment == 1


class TestFeeds:
    @pytest.fixture
    def second(self, ledger):
        key = FeedKey("other", "c", "topic", "", 5)
        claimed = claim(ledger.connection, key, stream="toy", owner="test")
        assert open_segment(ledger.connection, claimed, 7, reason="earliest")
        return ledger

    def test_one_without_rows_closes(self, second):
        report = check(second.connection)
        assert report.closed
        assert [(a.group, a.first_offset, a.next_offset) for a in report.accounts] == [
            ("g", 100, 120),
            ("other", 7, 7),
        ]

    def test_one_that_was_never_opened_closes(self, second):
        claim(second.connection, FeedKey("other", "c", "topic", "", 6), stream="toy", owner="test")
        assert check(second.connection).closed

    def test_only_a_group_or_stream(self, second):
        second.connection.execute("UPDATE fulgor.feed SET next_offset = 9 WHERE partition = 5")
        assert not check(second.connection).closed
        assert check(second.connection, group="g").closed
        assert not check(second.connection, group="other", stream="toy").closed
        assert [a.group for a in read_accounts(second.connection, group="other")] == ["other"]
        assert check(second.connection, stream="elsewhere").closed

    def test_the_first_partition_is_named_first(self, second):
        second.connection.execute("UPDATE fulgor.feed SET next_offset = next_offset + 2")
        found = check(second.connection).findings
        assert [(f.group, f.partition, f.offset) for f in found] == [("g", 0, 120), ("other", 5, 7)]
        assert str(found[1]) == (
            "topic topic partition 5 (group other) offset 7: missing: offsets 7 to 8 neither accounted for nor skipped"
        )

    def test_findings_are_bounded(self, second):
        second.connection.execute("DELETE FROM fulgor.latent")
        assert len(check(second.connection, limit=2).findings) == 2


def test_it_sees_one_moment_and_writes_nothing(ledger):
    assert check(ledger.connection).closed
    assert ledger.value("SHOW transaction_read_only") == "off"
    assert ledger.value("SHOW work_mem") != "64MB"

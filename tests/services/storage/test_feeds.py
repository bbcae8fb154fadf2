import pytest

from fulgor.storage.feeds import FeedKey, claim, open_segment, read_states, release, stored
from fulgor.storage.offsets import Operator, move

pytestmark = pytest.mark.services

KEY = FeedKey("g", "c", "another", "", 3)


def test_a_claim_raises_the_epoch_and_finds_the_offset(toy):
    again = claim(toy.connection, FeedKey("g", "c", "topic", "", 0), stream="toy", owner="next")
    assert (again.feed_id, again.epoch, again.next_offset) == (toy.claim.feed_id, toy.claim.epoch + 1, 0)


def test_a_new_feed_has_no_offset_until_it_is_opened(toy):
    first = claim(toy.connection, KEY, stream="toy", owner="x")
    assert first.next_offset is None
    assert open_segment(toy.connection, first, 17, reason="latest")
    assert claim(toy.connection, KEY, stream="toy", owner="x").next_offset == 17


def test_only_the_last_claimant_opens_and_only_once(toy):
    first = claim(toy.connection, KEY, stream="toy", owner="x")
    second = claim(toy.connection, KEY, stream="toy", owner="y")
    assert not open_segment(toy.connection, first, 5, reason="earliest")
    assert open_segment(toy.connection, second, 6, reason="earliest")
    assert not open_segment(toy.connection, second, 7, reason="earliest")
    assert toy.value("SELECT first_offset FROM fulgor.segment WHERE feed_id = %s", second.feed_id) == 6


def test_keys_differ_in_every_part(toy):
    keys = [KEY, *(FeedKey(*parts) for parts in (
        ("h", "c", "another", "", 3), ("g", "d", "another", "", 3), ("g", "c", "more", "", 3),
        ("g", "c", "another", "id", 3), ("g", "c", "another", "", 4),
    ))]  # fmt: skip
    assert len({claim(toy.connection, key, stream="toy", owner="x").feed_id for key in sorted(keys)}) == len(keys)


def test_attempts_count_claims_that_moved_nothing(toy):
    key = FeedKey("g", "c", "topic", "", 0)
    attempts = [claim(toy.connection, key, stream="toy", owner="x").attempts for _ in range(3)]
    assert attempts == [2, 3, 4]


def test_progress_ends_the_count(toy):
    key = FeedKey("g", "c", "topic", "", 0)
    toy.fill(1)
    assert claim(toy.connection, key, stream="toy", owner="x").attempts == 1


def test_a_clean_leave_ends_the_count_unless_it_is_stale(toy):
    key = FeedKey("g", "c", "topic", "", 0)
    second = claim(toy.connection, key, stream="toy", owner="x")
    release(toy.connection, toy.claim.feed_id, toy.claim.epoch)  # of an epoch long gone
    assert claim(toy.connection, key, stream="toy", owner="y").attempts == 3
    release(toy.connection, second.feed_id, second.epoch + 1)
    assert claim(toy.connection, key, stream="toy", owner="z").attempts == 1


def test_offsets_are_found_by_their_whole_key(toy):
    opened = claim(toy.connection, KEY, stream="toy", owner="x")
    open_segment(toy.connection, opened, 17, reason="latest")
    anew = FeedKey("g", "c", "another", "made anew", 3)
    claim(toy.connection, anew, stream="toy", owner="x")  # has no offset yet
    assert stored(toy.connection, [KEY, anew, FeedKey("g", "c", "never", "", 0)]) == {KEY: 17}
    assert stored(toy.connection, []) == {}


def test_an_operators_move_leaves_the_claim_as_it_was(toy):
    mine = claim(toy.connection, KEY, stream="toy", owner="x")
    open_segment(toy.connection, mine, 17, reason="latest")
    move(toy.connection, [(mine.feed_id, 3)], Operator("somebody"))
    [moved] = read_states(toy.connection, [mine.feed_id, 10**9]).values()
    assert (moved.next_offset, moved.claimed_at) == (3, mine.claimed_at)
    assert moved.epoch > mine.epoch
    claim(toy.connection, KEY, stream="toy", owner="y")
    assert read_states(toy.connection, [mine.feed_id])[mine.feed_id].claimed_at != mine.claimed_at

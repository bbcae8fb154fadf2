"""The committer on a real Postgres: what a member that stands still may hold up."""

from __future__ import annotations

from threading import Event

import psycopg
import pytest
from toy import TABLE

from fulgor.consumer import patience
from fulgor.consumer.committer import Committer
from fulgor.consumer.metrics import Metrics
from fulgor.storage import feeds
from fulgor.storage.database import connect, transient
from fulgor.storage.feeds import Claim, FeedKey
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services
KEY = FeedKey("g", "c", "t", "", 0)


def member(database: str, owner: str) -> Committer:
    return Committer(database, TABLE, owner=owner, patience_s=60, drain_s=1, metrics=Metrics(), stopping=Event())


def claimed(by: Committer) -> Claim:
    return by.claim(lambda: [KEY])[KEY]


@pytest.mark.parametrize(("idle_ms", "asleep_s"), [(300, 60), (60_000, 0.3)])
def test_a_member_that_sleeps_within_its_transaction_does_not_keep_the_feed(
    database: str, monkeypatch: pytest.MonkeyPatch, idle_ms: int, asleep_s: float
):
    """The server ends its session, or the next owner does."""
    monkeypatch.setattr(patience, "_IDLE_MS", idle_ms)
    monkeypatch.setattr(patience, "_RETRY_S", 0.05)
    monkeypatch.setattr(feeds, "_LOCK_MS", 200)
    monkeypatch.setattr(feeds, "_ASLEEP_S", asleep_s)
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    sleeper, heir = member(database, "host:1"), member(database, "host:2")
    first = claimed(sleeper)
    held = sleeper._database.connected()
    # In one go: this process, too, may stand still for longer than its session may.
    held.execute(f"BEGIN; SELECT 1 FROM fulgor.feed WHERE feed_id = {first.feed_id} FOR UPDATE")
    second = claimed(heir)  # waits for the row until the sleeper's session has ended
    assert second.epoch == first.epoch + 1
    with pytest.raises(psycopg.Error) as ended:
        held.execute("COMMIT")
    assert transient(ended.value)
    third = claimed(sleeper)  # awake, on a connection of its own
    assert third.epoch == second.epoch + 1
    sleeper.close()
    heir.close()


def test_a_member_stopped_within_a_copy_is_ended_by_the_next_owner(database: str, monkeypatch: pytest.MonkeyPatch):
    """Within COPY the server waits for rows without end: no time-out of its own frees the feed's row."""
    monkeypatch.setattr(feeds, "_LOCK_MS", 200)
    monkeypatch.setattr(feeds, "_ASLEEP_S", 0.2)
    monkeypatch.setattr(patience, "_RETRY_S", 0.05)
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    sleeper, heir = member(database, "host:1"), member(database, "host:2")
    first = claimed(sleeper)
    held = sleeper._database.connected()
    held.execute("CREATE TEMP TABLE stage (n int)")
    with pytest.raises(psycopg.Error) as ended, held.transaction():  # noqa: PT012 - the session ends somewhere in there
        held.execute("SELECT 1 FROM fulgor.feed WHERE feed_id = %s FOR UPDATE", [first.feed_id])
        with held.cursor() as cursor, cursor.copy("COPY stage FROM STDIN") as copy:
            second = claimed(heir)  # while not a row is sent
            copy.write_row([1])
    assert second.epoch == first.epoch + 1
    assert transient(ended.value)
    assert claimed(sleeper).epoch == second.epoch + 1  # awake, on a connection of its own
    sleeper.close()
    heir.close()

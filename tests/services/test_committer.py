"""The committer on a real Postgres: what a member that stands still may hold up."""

from __future__ import annotations

from threading import Event

import psycopg
import pytest
from toy import TABLE

from fulgor.consumer import committer as committer_module
from fulgor.consumer.committer import Committer
from fulgor.consumer.metrics import Metrics
from fulgor.storage.database import connect, transient
from fulgor.storage.feeds import FeedKey
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services
KEY = FeedKey("g", "c", "t", "", 0)


def member(database: str, owner: str) -> Committer:
    return Committer(database, TABLE, owner=owner, patience_s=5, metrics=Metrics(), stopping=Event())


def test_a_member_that_sleeps_within_its_transaction_does_not_keep_the_feed(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(committer_module, "_IDLE_MS", 300)
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    sleeper, heir = member(database, "sleeper"), member(database, "heir")
    [first] = sleeper.claim([KEY])
    held = sleeper._connected()
    held.execute("BEGIN")
    held.execute("SELECT 1 FROM fulgor.feed WHERE feed_id = %s FOR UPDATE", [first.feed_id])
    [second] = heir.claim([KEY])  # waits for the row until the server ends the sleeper's session
    assert second.epoch == first.epoch + 1
    with pytest.raises(psycopg.Error) as ended:
        held.execute("COMMIT")
    assert transient(ended.value)
    [third] = sleeper.claim([KEY])  # awake, on a connection of its own
    assert third.epoch == second.epoch + 1
    sleeper.close()
    heir.close()

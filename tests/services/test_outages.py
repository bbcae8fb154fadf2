"""The database goes away in the middle of the work and comes back: paused, resumed, nothing lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from live import until
from toy import TABLE
from toyrun import consuming, count, produce

from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate

pytestmark = [pytest.mark.services, pytest.mark.slow]

MESSAGES = 4000
AWAY_S = 3.0


def test_postgres_killed_while_it_writes(broker, topic: Callable, tmp_path: Path):
    with EmbeddedPostgres.temporary(tmp_path / "home") as server:
        url = server.url()
        with connect(url, vectors=False) as connection:
            migrate(connection, [TABLE])
        name, padding = topic(2), "x" * 2000
        produce(broker.bootstrap, name, range(MESSAGES // 2), 2, padding=padding)
        protocol = "consumer" if broker.new_protocol else "classic"
        with consuming(broker.bootstrap, name, url, protocol) as consumer:
            until(lambda: count(url) >= 200, "the first were not stored")
            server.kill()
            # The first half may be done by then.
            produce(broker.bootstrap, name, range(MESSAGES // 2, MESSAGES), 2, padding=padding)
            while "is away, trying again" not in consumer.stderr.readline():
                assert consumer.poll() is None, "the consumer did not wait for its database"
            time.sleep(AWAY_S)
            assert consumer.poll() is None, "the consumer did not wait for its database"
            assert server.up() == url
            until(lambda: count(url) == MESSAGES, "the rest was not stored", 120)

        with connect(url) as connection:
            row = connection.execute("SELECT count(*), count(DISTINCT alert) FROM fulgor.latent").fetchone()
            assert row == (MESSAGES, MESSAGES)
            assert connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone() == (0,)
            assert check(connection).closed

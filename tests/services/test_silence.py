"""Servers that are away for a while, full, or silent: paused, resumed, nothing lost, and no wait without an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from live import until
from proxy import Proxy
from toy import TABLE, ToyPredictor, ToyStream
from toyrun import consuming, count, execute, produce, stored_once

from fulgor.consumer import patience
from fulgor.consumer.consume import Consumption, consume, kafka_source
from fulgor.consumer.settings import Settings
from fulgor.embedded.broker import EmbeddedBroker
from fulgor.errors import DatabaseError
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate

pytestmark = pytest.mark.services

_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END$$;
CREATE TRIGGER full_disk BEFORE INSERT ON fulgor.latent FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
"""


@pytest.fixture
def tables(database: str) -> str:
    with connect(database, vectors=False) as connection:
        migrate(connection, [TABLE])
    return database


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")))


def proxy_of(url: str) -> Proxy:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return Proxy(parts.hostname, parts.port)


def test_a_full_disk_is_waited_out(any_broker, make_topic: Callable, tables: str):
    name, where = make_topic(any_broker, 2), any_broker.bootstrap
    produce(where, name, range(50), 2)
    with consuming(where, name, tables, "auto") as consumer:
        until(lambda: count(tables) == 50, "the first were not stored")
        execute(tables, _FULL)
        produce(where, name, range(50, 100), 2)
        time.sleep(1)
        assert consumer.poll() is None, "it did not wait"
        assert count(tables) == 50
        execute(tables, "DROP TRIGGER full_disk ON fulgor.latent")
        until(lambda: count(tables) == 100, "the rest was not stored")
    assert stored_once(tables) == list(range(100))


class Silencing(ToyPredictor):
    """Lets the proxy go silent before its third batch, and speak again once the database was given up."""

    def __init__(self, proxy: Proxy, given_up: Callable[[], bool]) -> None:
        super().__init__()
        self._proxy, self._given_up = proxy, given_up

    def predict(self, arrays):
        if len(self.batches) == 2:
            self._proxy.silent = True
            Thread(target=self._speak, daemon=True).start()
        return super().predict(arrays)

    def _speak(self) -> None:
        until(self._given_up, "nobody noticed")
        self._proxy.silent = False


def test_a_database_that_goes_silent_is_given_up_and_found_again(
    any_broker, make_topic: Callable, tables: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(patience, "ANSWER_S", 3)

    def given_up() -> bool:
        return any("said nothing for 3 s" in line for line in caplog.messages)

    name, where = make_topic(any_broker), any_broker.bootstrap
    produce(where, name, range(200))
    settings = Settings(bootstrap=where, batch_size=16)
    with proxy_of(tables).running() as proxy:
        what = Consumption(ToyStream(), Silencing(proxy, given_up), through(proxy, tables), "g")
        consume(what, lambda: kafka_source(settings, name, "g"), settings, title="toy", until_end=True)
        assert not proxy.silent
    assert stored_once(tables) == list(range(200))


def test_a_database_that_is_silent_from_the_start_is_named(tables: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fulgor.storage.database.CONNECT_TIMEOUT_S", 2)
    with proxy_of(tables).running() as proxy:
        proxy.silent = True
        with pytest.raises(DatabaseError, match=f"127.0.0.1:{proxy.port}/"):
            connect(through(proxy, tables))


def test_a_connection_that_falls_silent_is_an_error_within_its_time(tables: str):
    with proxy_of(tables).running() as proxy:
        connection = connect(through(proxy, tables), vectors=False, answer_s=3)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.execute("SELECT pg_sleep(0.2)")
        proxy.silent = True
        started = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="said nothing"), connection.transaction():
            connection.execute("SELECT 2")
        assert time.monotonic() - started < 60
        assert connection.closed
        connection.close()


def test_a_broker_that_goes_away_is_waited_for(tables: str):
    with EmbeddedBroker() as broker:
        where = broker.bootstrap
        produce(where, "here", range(20))
        with consuming(where, "here", tables, "classic") as consumer:
            until(lambda: count(tables) == 20, "the first were not stored")
            broker.kill()
            time.sleep(2)
            assert consumer.poll() is None, "it did not wait for its broker"
            assert count(tables) == 20
    assert stored_once(tables) == list(range(20))

"""What the benchmarks share: a topic, a database with tables, and a consumer as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql

from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import stream_table

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


@contextmanager
def fresh_database(server: str, stream: str = "ztf") -> Iterator[str]:
    """Make a database with a stream's tables on a server, and drop it afterwards."""
    name = f"fulgor_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlunsplit(urlsplit(server)._replace(path=f"/{name}", query=""))
        try:
            with connect(url, vectors=False) as tables:
                migrate(tables, [stream_table(stream)])
            yield url
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def fresh_topic(bootstrap: str, partitions: int) -> Iterator[str]:
    """Make a topic whose timestamps are append times, and delete it afterwards."""
    admin, name = AdminClient({"bootstrap.servers": bootstrap}), f"bench-{uuid.uuid4().hex[:8]}"
    admin.create_topics([NewTopic(name, partitions, 1, config=APPEND_TIME)])[name].result(15)
    try:
        yield name
    finally:
        admin.delete_topics([name])[name].result(15)


def start_consumer(
    bootstrap: str, database: str, topic: str, *flags: str, stream: str = "ztf"
) -> subprocess.Popen[str]:
    """Start `fulgor consume STREAM --json` as its own process."""
    where = ["--topic", topic, "--bootstrap", bootstrap]
    return subprocess.Popen(
        [sys.executable, "-m", "fulgor", "consume", stream, "--json", *where, *flags],
        env=os.environ | {"FULGOR_DATABASE": database, "FULGOR_SESSION_TIMEOUT_MS": "3000"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def produce(bootstrap: str, archive: str, topic: str, *flags: str) -> None:
    """Send an archive with `fulgor replay produce`."""
    where = ["--topic", topic, "--bootstrap", bootstrap]
    subprocess.run(
        [sys.executable, "-m", "fulgor", "replay", "produce", archive, *where, *flags],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def finish(consumer: subprocess.Popen[str], *, timeout: float = 600) -> dict:
    """Wait for a consumer and return the counts that it printed."""
    out, errors = consumer.communicate(timeout=timeout)
    if consumer.returncode:
        raise SystemExit(f"the consumer ended with code {consumer.returncode}:\n{errors}")
    return json.loads(out)


def wait_for(
    connection: psycopg.Connection,
    query: str,
    wanted: int,
    *,
    timeout: float = 300,
    while_alive: Sequence[subprocess.Popen[str]] = (),
) -> None:
    """Wait until a counting query reaches a number; not if one of these processes has ended."""
    give_up = time.monotonic() + timeout
    while (found := connection.execute(query).fetchone()[0] or 0) < wanted:
        for process in while_alive:
            if process.poll() is not None:
                raise SystemExit(f"a consumer ended early:\n{process.communicate()[1]}")
        if time.monotonic() > give_up:
            raise SystemExit(f"{found} of {wanted} after {timeout:.0f} s: {query}")
        time.sleep(0.1)

"""kill -9 of the consumer at random moments while it works, restarted each time: what is lost, what is doubled.

python benchmarks/kills.py --bootstrap HOST:PORT --database URL --archive FOLDER --kills 20
"""

from __future__ import annotations

import argparse
import random
import time

import psycopg
from confluent_kafka import Consumer, TopicPartition
from service import finish, fresh_database, fresh_topic, produce, start_consumer

from fulgor.storage.database import connect
from fulgor.storage.ledger import check

PARTITIONS = 4


def stored(connection: psycopg.Connection) -> int:
    return connection.execute("SELECT count(*) FROM fulgor.latent").fetchone()[0]


def kill_once(
    arguments: argparse.Namespace, connection: psycopg.Connection, database: str, topic: str, moment: float
) -> float:
    """Start a consumer and kill it `moment` seconds after its first rows; return how long those took."""
    before, started = stored(connection), time.monotonic()
    consumer = start_consumer(arguments.bootstrap, database, topic, "--batch-size", "32")
    while stored(connection) == before:
        if consumer.poll() is not None:
            raise SystemExit(consumer.communicate()[1])
        time.sleep(0.01)
    recovery = time.monotonic() - started
    time.sleep(moment)
    consumer.kill()
    consumer.communicate()
    return recovery


def messages(bootstrap: str, topic: str) -> int:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "count"})
    found = [reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in range(PARTITIONS)]
    reader.close()
    return sum(high - low for low, high in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--archive", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with fresh_database(arguments.database) as database, fresh_topic(arguments.bootstrap, PARTITIONS) as topic:
        produce(arguments.bootstrap, arguments.archive, topic, "--split")
        total = messages(arguments.bootstrap, topic)
        with psycopg.connect(database, autocommit=True) as connection:
            recoveries = [
                kill_once(arguments, connection, database, topic, chance.uniform(0, 0.25))
                for _ in range(arguments.kills)
            ]
            at_kills = stored(connection)
            finish(start_consumer(arguments.bootstrap, database, topic, "--until-end"))
            rows, alerts = connection.execute("SELECT count(*), count(DISTINCT alert) FROM fulgor.latent").fetchone()
            duplicates = connection.execute("SELECT count(*) FROM fulgor.duplicate").fetchone()[0]
        with connect(database) as connection:
            closed = check(connection).closed
    print(f"messages {total}, kills {arguments.kills} (rows stored by the last one: {at_kills})")
    print(f"lost {total - alerts}, doubled {rows - alerts}, duplicates noted {duplicates}, ledger closed: {closed}")
    print(
        f"start to first rows: median {sorted(recoveries)[len(recoveries) // 2]:.1f} s, longest {max(recoveries):.1f} s"
    )


if __name__ == "__main__":
    main()

"""Append-to-commit latency at fixed rates (open loop) and the highest sustained rate, on a real broker.

    python benchmarks/live.py --bootstrap HOST:PORT --database URL --archive FOLDER

ARCHIVE holds alerts, one record a message (``fulgor simulate ztf --count 6000 --out FOLDER``, sent with
--split). The topic is LogAppendTime, so that a message's timestamp is when the broker appended it.
"""

from __future__ import annotations

import argparse

import psycopg
from service import finish, fresh_database, fresh_topic, produce, start_consumer, wait_for

STORED = "SELECT sum(next_offset) FROM fulgor.feed"
CLAIMED = "SELECT count(*) FROM fulgor.feed WHERE next_offset IS NOT NULL"
PARTITIONS = 4


def at_rate(arguments: argparse.Namespace, rate: int) -> dict:
    """Measure latency while alerts arrive at a rate that does not wait for us."""
    count = int(rate * arguments.seconds)
    with fresh_database(arguments.database) as database, fresh_topic(arguments.bootstrap, PARTITIONS) as topic:
        consumer = start_consumer(arguments.bootstrap, database, topic)
        with psycopg.connect(database, autocommit=True) as connection:
            wait_for(connection, CLAIMED, PARTITIONS, timeout=60)
            produce(
                arguments.bootstrap, arguments.archive, topic, "--split", "--rate", str(rate), "--limit", str(count)
            )
            wait_for(connection, STORED, count)
        consumer.terminate()
        return finish(consumer)


def flat_out(arguments: argparse.Namespace) -> dict:
    """Measure the rate at which a topic that is full already is worked off."""
    with fresh_database(arguments.database) as database, fresh_topic(arguments.bootstrap, PARTITIONS) as topic:
        produce(arguments.bootstrap, arguments.archive, topic, "--split")
        return finish(start_consumer(arguments.bootstrap, database, topic, "--until-end"))


def line(name: str, counts: dict) -> str:
    rate = counts["messages"] / counts["seconds"]
    p50, p99 = (1e3 * counts[key] for key in ("latency_p50", "latency_p99"))
    stages = ", ".join(
        f"{stage} {1e6 * seconds / counts['messages']:.0f} us ({counts['stage_share'][stage]:.0%})"
        for stage, seconds in counts["stage_seconds"].items()
    )
    return (
        f"| {name} | {counts['stored']} | {rate:.0f} | {p50:.0f} | {p99:.0f} | {counts['mean_fill']:.2f} | {stages} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--database", required=True, help="URL of a server on which databases can be created")
    parser.add_argument("--archive", required=True)
    parser.add_argument("--rates", type=int, nargs="*", default=[100, 333, 1000])
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    print("| load | stored | alerts/s | p50 ms | p99 ms | mean fill | wall time by stage and its share |")
    print("|---|---|---|---|---|---|---|")
    for rate in arguments.rates:
        print(line(f"{rate}/s", at_rate(arguments, rate)), flush=True)
    print(line("flat out", flat_out(arguments)), flush=True)


if __name__ == "__main__":
    main()

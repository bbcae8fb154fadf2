"""Append-to-commit latency at fixed rates (open loop) and the highest sustained rate, on a real broker.

    python benchmarks/live.py --bootstrap HOST:PORT --database URL --archive FOLDER
    python benchmarks/live.py ... --stream leela --workers 2 --rates 300 600 1175

ARCHIVE holds alerts or chunks, as many as the highest rate needs (``fulgor simulate STREAM --count 20000 --out
FOLDER``), sent one record a message (--split). The topic is LogAppendTime, so that a message's timestamp is when
the broker appended it. Of several workers the worst quantiles are told.
"""

from __future__ import annotations

import argparse
import subprocess

import psycopg
from service import finish, fresh_database, fresh_topic, produce, start_consumer, wait_for

STORED = "SELECT sum(next_offset) FROM fulgor.feed"
CLAIMED = "SELECT count(*) FROM fulgor.feed WHERE next_offset IS NOT NULL"
OWNERS = "SELECT count(DISTINCT owner) FROM fulgor.feed WHERE next_offset IS NOT NULL"
PARTITIONS = 4


def at_rate(arguments: argparse.Namespace, rate: int) -> dict:
    """Measure latency while messages arrive at a rate that does not wait for us."""
    count = int(rate * arguments.seconds)
    with (
        fresh_database(arguments.database, arguments.stream) as database,
        fresh_topic(arguments.bootstrap, PARTITIONS) as topic,
    ):
        workers = start(arguments, database, topic)
        with psycopg.connect(database, autocommit=True) as connection:
            wait_for(connection, CLAIMED, PARTITIONS, while_alive=workers)
            wait_for(connection, OWNERS, len(workers), while_alive=workers)
            produce(
                arguments.bootstrap, arguments.archive, topic, "--split", "--rate", str(rate), "--limit", str(count)
            )
            wait_for(connection, STORED, count, while_alive=workers)
        for worker in workers:
            worker.terminate()
        return together([finish(worker) for worker in workers])


def flat_out(arguments: argparse.Namespace) -> dict:
    """Measure the rate at which a topic that is full already is worked off."""
    with (
        fresh_database(arguments.database, arguments.stream) as database,
        fresh_topic(arguments.bootstrap, PARTITIONS) as topic,
    ):
        produce(arguments.bootstrap, arguments.archive, topic, "--split")
        return together([finish(worker) for worker in start(arguments, database, topic, "--until-end")])


def start(arguments: argparse.Namespace, database: str, topic: str, *flags: str) -> list[subprocess.Popen[str]]:
    return [
        start_consumer(arguments.bootstrap, database, topic, *flags, stream=arguments.stream)
        for _ in range(arguments.workers)
    ]


def together(counts: list[dict]) -> dict:
    """Return the counts of several workers as one's: sums, and the worst of their times."""
    worked = [each for each in counts if each["messages"]]
    stages = {stage: sum(each["stage_seconds"][stage] for each in worked) for stage in worked[0]["stage_seconds"]}
    return {
        **{name: sum(each[name] for each in worked) for name in ("messages", "stored")},
        **{name: max(each[name] for each in worked) for name in ("seconds", "latency_p50", "latency_p99")},
        "mean_fill": sum(each["mean_fill"] for each in worked) / len(worked),
        "stage_seconds": stages,
        "stage_share": {stage: seconds / sum(stages.values()) for stage, seconds in stages.items()},
    }


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
    parser.add_argument("--stream", default="ztf")
    parser.add_argument("--workers", type=int, default=1, help="consumer processes, each a member of the group")
    parser.add_argument("--rates", type=int, nargs="*", default=[100, 333, 1000])
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    print("| load | rows stored | messages/s | p50 ms | p99 ms | mean fill | wall time by stage and its share |")
    print("|---|---|---|---|---|---|---|")
    for rate in arguments.rates:
        print(line(f"{rate}/s", at_rate(arguments, rate)), flush=True)
    print(line("flat out", flat_out(arguments)), flush=True)


if __name__ == "__main__":
    main()

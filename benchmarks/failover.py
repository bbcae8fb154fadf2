"""Time from a lost consumer's session time-out to its partitions being served again, under both group protocols.

    python benchmarks/failover.py --kafka ../shared/kafka/kafka-server --deaths 10

Two consumers share six partitions and messages keep arriving. One of them is killed with SIGKILL, or stopped with
SIGSTOP, as a machine that hangs; the clock starts when its session time-out is over (counted from the kill, since its
last heartbeat came at most a third of the time-out earlier) and ends when every partition that it held has a newly
stored row. A negative time means that the broker noticed before: its last heartbeat was that much earlier.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

from scene import PARTITIONS, FaultError, Scene, audit, by_protocol, finish, keep_producing, until

from fulgor.embedded.postgres import EmbeddedPostgres

SESSION_S = 3.0  # of tests/support/toy_consumer.py


def held_by(scene: Scene, consumer: subprocess.Popen[bytes]) -> set[int]:
    found = scene.query(f"SELECT partition FROM fulgor.feed WHERE owner LIKE '%:{consumer.pid}'")
    return {number for (number,) in found}


def settled(scene: Scene) -> bool:
    """Tell whether two consumers hold half of the partitions each."""
    scene.keep_two()
    return all(len(held_by(scene, consumer)) == PARTITIONS // 2 for consumer in scene.consumers)


def lose_one(scene: Scene, sent: signal.Signals) -> float:
    """Lose a consumer; return the seconds from the end of its session to the last of its partitions being served."""
    until(lambda: settled(scene), "two consumers do not share the partitions evenly", 60)
    scene.recover()
    victim = scene.chance.choice(scene.consumers)
    mine = held_by(scene, victim)
    victim.send_signal(sent)
    lost_at = time.monotonic()
    time.sleep(0.2)  # what it had sent before its death may still be committed
    before = scene.places()

    def served() -> bool:
        now = scene.places()
        return all(now[number] > before[number] for number in mine)

    until(served, "its partitions are served by nobody")
    taken = time.monotonic() - lost_at - SESSION_S
    victim.kill()
    victim.wait()
    return taken


def measure(arguments: argparse.Namespace, protocol: str, work: Path) -> list[str]:
    """Print a row for each way to lose a consumer, and return what is wrong."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres.temporary(work / "postgres"))
        stack.callback(subprocess.run, [arguments.kafka, "wipe", work / "kafka"], check=False)
        scene, stopping = Scene(arguments, protocol, work, server), Event()
        stack.callback(lambda: [consumer.kill() for consumer in scene.consumers if consumer.poll() is None])
        producing = Thread(target=keep_producing, args=(scene, stopping))
        producing.start()
        try:
            for sent in (signal.SIGKILL, signal.SIGSTOP):
                times = sorted(lose_one(scene, sent) for _ in range(arguments.deaths))
                print(
                    f"| {protocol} | {sent.name} | {len(times)} | {times[len(times) // 2]:.2f} | {times[-1]:.2f} |",
                    flush=True,
                )
        except FaultError as fault:
            return [str(fault)]
        finally:
            stopping.set()
            producing.join()
        finish(scene)
        return audit(scene)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, help="script that starts a broker of its own")
    parser.add_argument("--deaths", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocol", choices=["consumer", "classic"], help="default: one after the other")
    arguments = parser.parse_args()
    arguments.bootstrap = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"session time-out {SESSION_S:.0f} s, heartbeats every {SESSION_S / 3:.0f} s, {PARTITIONS} partitions")
    print("| protocol | lost by | times | served again after the time-out, median s | longest s |")
    print("|---|---|---|---|---|", flush=True)
    sys.exit(by_protocol(arguments, measure))


if __name__ == "__main__":
    main()

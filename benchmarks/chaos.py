"""Seeded deaths at named points and at random, of consumers, Postgres and Kafka, while consumers join and leave.

    python benchmarks/chaos.py --kafka ../shared/kafka/kafka-server --rounds 60 --protocol consumer --seed 1

Two or three consumers run all the time and messages keep arriving. A round kills a consumer at a named fault point or
at a random moment, stops one past its session time-out and lets it go on, or kills the database or the broker, which
come back; now and then the next round does not wait for the last one's damage to be mended, and a further consumer
joins and leaves. A round is mended when every partition has moved again. At the end every message that the broker
acknowledged must be stored once, and the ledger must close; anything else ends with code 1.

With --bootstrap it runs on a broker that is there already, which is not killed then.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

from scene import POINTS, FaultError, Scene, audit, by_protocol, finish, keep_producing, until

from fulgor.embedded.postgres import EmbeddedPostgres

# At these a process comes by only when partitions are given or taken: the first time has to do.
RARE = ("after the claim", "before the release")
OTHERS = ["killed at random"] * 5 + ["stopped past its time"] * 2 + ["Postgres killed"] * 2 + ["Kafka killed"]
OVERLAP = 0.25


def die_at(scene: Scene, point: str) -> bool:
    """Let a consumer of its own kill itself at a named point; False if it never came by."""
    count = 1 if point in RARE else scene.chance.randint(1, 20)
    doomed = scene.start_consumer(point, str(count))
    give_up = time.monotonic() + 10
    while doomed.poll() is None and time.monotonic() < give_up:
        if point == "before the release" and scene.owned(doomed):
            break
        time.sleep(0.02)
    doomed.terminate()
    doomed.wait(120)
    return doomed.returncode == -signal.SIGKILL


def stop_past_its_time(scene: Scene, victim: subprocess.Popen[bytes]) -> float:
    """Stop a consumer until all that it held is served by others, then let it go on; return how long that took."""
    victim.send_signal(signal.SIGSTOP)
    try:
        return scene.recover()
    finally:
        victim.send_signal(signal.SIGCONT)


def do(scene: Scene, kind: str) -> float | None:
    """Do a deed; return how long it took to mend where that was waited for, None elsewhere."""
    victim = scene.chance.choice(scene.consumers)
    if kind == "stopped past its time":
        return stop_past_its_time(scene, victim)
    if kind == "Postgres killed":
        scene.server.kill()
        time.sleep(scene.chance.uniform(0, 2))
        scene.server.up()
    elif kind == "Kafka killed":
        scene.kill_kafka()
        scene.start_kafka()
    else:
        time.sleep(scene.chance.uniform(0, 0.3))
        victim.kill()
        victim.wait()
    return None


def join_and_leave(scene: Scene) -> None:
    third = scene.start_consumer()
    until(lambda: third.poll() is not None or scene.owned(third), "a consumer that joined was given nothing", 240)
    third.terminate()
    third.wait(120)


def deck(scene: Scene) -> Iterator[str]:
    """Deal all named points and the other deeds, shuffled, again and again."""
    cards = [*POINTS, *(deed for deed in OTHERS if deed != "Kafka killed" or scene.kafka)]
    while True:
        scene.chance.shuffle(cards)
        yield from cards


def wreak(scene: Scene, rounds: int) -> tuple[Counter[str], dict[str, list[float]]]:
    """Do as many deeds as there are rounds; a named point that was not reached counts for nothing."""
    done: Counter[str] = Counter()
    times: dict[str, list[float]] = defaultdict(list)
    deeds = deck(scene)
    scene.keep_two()
    scene.recover()
    while done.total() - done["joined and left"] < rounds:
        kind = next(deeds)
        scene.keep_two()
        if kind in POINTS and not die_at(scene, kind):
            continue
        mended = None if kind in POINTS else do(scene, kind)
        done[kind] += 1
        if mended is None and scene.chance.random() < OVERLAP:
            continue
        times[kind].append(scene.recover() if mended is None else mended)
        if scene.chance.random() < OVERLAP / 2:
            join_and_leave(scene)
            done["joined and left"] += 1
    return done, times


def show(scene: Scene, done: Counter[str], times: dict[str, list[float]]) -> None:
    joined = done.pop("joined and left", 0)
    print(f"{done.total()} kills and stops; {joined} joined and left; {scene.refused} refused at their start")
    for kind, count in sorted(done.items()):
        mended = sorted(times.get(kind, []))
        took = f"mended in {mended[len(mended) // 2]:.1f} s (median), {mended[-1]:.1f} s (longest)" if mended else ""
        print(f"  {count:3} x {kind:50} {took}")
    if times:
        print(f"longest recovery: {max(max(found) for found in times.values()):.1f} s", flush=True)


def run(arguments: argparse.Namespace, protocol: str, work: Path) -> list[str]:
    """Run one protocol and return what is wrong."""
    print(f"protocol {protocol}, seed {arguments.seed}", flush=True)
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres.temporary(work / "postgres"))
        if arguments.kafka:
            stack.callback(subprocess.run, [arguments.kafka, "wipe", work / "kafka"], check=False)
        scene, stopping = Scene(arguments, protocol, work, server), Event()
        stack.callback(lambda: [consumer.kill() for consumer in scene.consumers if consumer.poll() is None])
        producing = Thread(target=keep_producing, args=(scene, stopping))
        producing.start()
        try:
            done, times = wreak(scene, arguments.rounds)
            show(scene, done, times)
        except FaultError as fault:
            return [str(fault)]
        finally:
            stopping.set()
            producing.join()
        try:
            finish(scene)
        except FaultError as fault:
            return [str(fault)]
        return audit(scene)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--kafka", help="script that starts a broker of its own: SCRIPT up|kill|wipe FOLDER")
    where.add_argument("--bootstrap", help="a broker that is there already; it is not killed")
    parser.add_argument("--rounds", type=int, default=60, help="kills and stops")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocol", choices=["consumer", "classic"], help="default: one after the other")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing that was started here stays behind
    sys.exit(by_protocol(arguments, run))


if __name__ == "__main__":
    main()

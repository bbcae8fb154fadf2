"""Does the order of arrival leave a trace? Simulated objects, in order and shuffled, before and after settling.

    python benchmarks/history.py [--objects 500] [--model FOLDER] [--work FOLDER]

The alerts of the objects are consumed in time order by one process, and shuffled by two at once, half of them each,
as fast as they can; each row takes the stamp latents of the earlier alerts that are stored by then, so that what is
still on its way counts as late in both. Then the job ``late-history`` settles both databases; on the shuffled one it is
killed (SIGKILL) once on the way. Without ``--model``, the network is a random one: it has no skill, and shows equality
all the same, for its history counts for much. What is in FOLDER is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg
import torch

from fulgor.consumer.settings import load_settings
from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.latehistory import settle_history
from fulgor.models.export import example, export_onnx
from fulgor.models.folder import write_folder
from fulgor.models.layout import SCORES
from fulgor.models.reference import Reference
from fulgor.models.ztf import Architecture, ZtfNetwork
from fulgor.preprocessing.ztf import DEFAULT, FEATURE_NAMES
from fulgor.replay.simulate.ztf import SimulatedAlert, encode, simulate
from fulgor.storage.database import connect
from fulgor.storage.history import find_late
from fulgor.storage.ledger import check
from fulgor.storage.rescores import read_backlog

MIX = {"AGN": 0.3, "SN": 0.3, "VS": 0.4}
PARTS = 2
BATCH = 16
ROWS = (
    "SELECT alert, latent, scores, probabilities, anomaly, history FROM fulgor.latents"
    " WHERE model_status = 'live' ORDER BY alert"
)


def fulgor(database: str, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"FULGOR_DATABASE": database}
    return subprocess.Popen(
        [sys.executable, "-m", "fulgor", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors)
    return out


def random_model(folder: Path, *, remembers: bool, seed: int = 7) -> Path:
    """Write a model of random weights; the same weights whether it takes a history or not."""
    if folder.exists():
        return folder
    torch.manual_seed(seed)
    architecture = Architecture(
        features=len(FEATURE_NAMES), size=21, steps=DEFAULT.sequence_length, history_stamps=remembers
    )
    network = ZtfNetwork(architecture).eval().requires_grad_(False)
    network.recurrence.read.weight *= 4
    scores = np.nan_to_num(network(*example(architecture, 200, seed)).scores.numpy())
    split = {"parts": {"train": dict.fromkeys(architecture.classes, 1)}}
    reference = Reference.fit(scores, SCORES, source="noise")
    model = SimpleNamespace(network=network, reference=reference, metrics={}, split=split, training={"seed": seed})
    write_folder(
        model, folder, lambda path: export_onnx(network, path), name=folder.name, stream="ztf",
        preprocessing_hash=DEFAULT.content_hash, scores=SCORES,
        recurrence={"cell": "decay-gru", "steps": architecture.steps, "history_stamps": remembers},
        data={"simulated": True, "random": "untrained weights"},
    )  # fmt: skip
    return folder


def drawn(objects: int, seed: int) -> list[SimulatedAlert]:
    """Return all alerts of so many simulated objects with several each, in time order."""
    found: dict[str, list[SimulatedAlert]] = defaultdict(list)
    for alert in simulate(5 * objects, seed, mix=MIX):
        found[alert.object_id].append(alert)
    several = [alerts for alerts in found.values() if len(alerts) > 1][:objects]
    if len(several) < objects:
        raise SystemExit(f"only {len(several)} of the simulated objects have several alerts")
    return sorted((alert for alerts in several for alert in alerts), key=lambda alert: alert.jd)


def write_archives(work: Path, objects: int, seed: int) -> None:
    """Write the alerts in order, and shuffled in as many parts as consumers shall read them at once; a file each."""
    if (work / "facts.json").exists():
        return
    alerts = drawn(objects, seed)
    shuffled = np.random.default_rng(seed).permutation(len(alerts)).tolist()
    parts = {"ordered": range(len(alerts))} | {f"part{number}": shuffled[number::PARTS] for number in range(PARTS)}
    for name, order in parts.items():
        (work / name).mkdir(parents=True, exist_ok=True)
        for place, number in enumerate(order):
            (work / name / f"{place:05}.avro").write_bytes(encode([alerts[number].record]))
    sizes = Counter(Counter(alert.object_id for alert in alerts).values())
    (work / "facts.json").write_text(json.dumps({"alerts": len(alerts), "alerts per object": sorted(sizes.items())}))


def consumed(database: str, model: Path, *archives: Path) -> float:
    """Consume archives, each by a process of its own, all at once; return the seconds that it took."""
    words = ("consume", "ztf", "--model", str(model), "--batch-size", str(BATCH))
    started = time.monotonic()
    for process in [fulgor(database, *words, "--archive", str(archive)) for archive in archives]:
        finished(process)
    return time.monotonic() - started


def stages(database: str, model: Path, archive: Path) -> dict[str, float]:
    """Return the seconds of each stage of consuming an archive, in this process."""
    from fulgor.consumer.consume import Consumption, consume
    from fulgor.replay.source import ArchiveSource
    from fulgor.streams.ztf import ZTF

    settings = load_settings()
    stream = ZTF(settings)
    source = ArchiveSource(archive)
    what = Consumption(stream, stream.load_model(model, "cpu", 1), database, model.name)
    metrics = consume(what, lambda: source, settings, title="stages", until_end=True)
    found = metrics.stage_seconds.collect()[0].samples
    return {sample.labels["stage"]: sample.value for sample in found if sample.name.endswith("_total")}


def numbers(row: tuple) -> np.ndarray:
    return np.concatenate([row[1].to_numpy(), np.array(row[2] + row[3] + [row[4]], float)])


def compared(url: str, other: str) -> str:
    """Say how far the rows of two databases are apart; differences are relative where values exceed 1."""
    rows = []
    for database in (url, other):
        with connect(database) as connection:
            rows.append(connection.execute(ROWS).fetchall())
    ours, theirs = (np.array([numbers(row) for row in some]) for some in rows)
    apart = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0)
    lists = sum(one[5] != another[5] for one, another in zip(*rows, strict=True))
    return (
        f"largest difference {np.nanmax(apart):.1e} (latent {apart[:, :64].max():.1e}),"
        f" {lists} of {len(ours)} rows with another history"
    )


def kill_job(database: str) -> int:
    """Run the job until some rows are revised, and kill it; return how many were."""
    process = fulgor(database, "jobs", "run")
    revised = 0
    with connect(database) as connection:
        while not revised and process.poll() is None:
            time.sleep(0.02)
            row = connection.execute("SELECT count(*) FROM fulgor.latent WHERE revised_at IS NOT NULL").fetchone()
            revised = int(str(row[0])) if row else 0
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return revised


def settled(database: str) -> str:
    """Settle in this process; say what was done, and what each row took."""
    settings = load_settings().model_copy(update={"database": database})
    with connect(database) as connection:
        arrivals, started = read_backlog(connection).uncompared, time.monotonic()
        find_late(connection)
        looked, late = time.monotonic() - started, read_backlog(connection).late
        started = time.monotonic()
        said = settle_history(connection, settings)
        took = time.monotonic() - started
        closed = check(connection).closed
    each = f", {1e3 * took / late:.1f} ms each (start of the model included)" if late else ""
    return (
        f"{arrivals} rows compared in {looked:.2f} s; {late} late, settled in {took:.2f} s{each}: {said};"
        f" ledger closed: {closed}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--model", type=Path, default=None, help="a model that takes stored history")
    parser.add_argument("--work", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = options.work or Path(tempfile.mkdtemp(prefix="fulgor-history-"))
    work.mkdir(parents=True, exist_ok=True)
    os.environ["FULGOR_MODEL_STORE"] = str(work / "store")
    write_archives(work, options.objects, options.seed)
    print(f"simulated: {options.objects} objects, {(work / 'facts.json').read_text()}", flush=True)
    model = options.model or random_model(work / "random", remembers=True)
    without = random_model(work / "forgetful", remembers=False)
    with EmbeddedPostgres.temporary() as server:
        run(server.url(), work, model, without)


def run(server: str, work: Path, model: Path, without: Path) -> None:
    urls = {}
    for name in ("ordered", "shuffled", "plain"):
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        urls[name] = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finished(fulgor(urls[name], "db", "migrate"))
    ordered, shuffled, plain = urls.values()
    print(f"in order, one process: {consumed(ordered, model, work / 'ordered'):.1f} s", flush=True)
    parts = [work / f"part{number}" for number in range(PARTS)]
    print(f"shuffled, {PARTS} processes at once: {consumed(shuffled, model, *parts):.1f} s", flush=True)
    print(f"before settling: {compared(shuffled, ordered)}", flush=True)
    print(f"job killed after {kill_job(shuffled)} revised rows", flush=True)
    print(f"shuffled: {settled(shuffled)}", flush=True)
    print(f"ordered: {settled(ordered)}", flush=True)
    print(f"after settling: {compared(shuffled, ordered)}", flush=True)
    print(f"again: {settled(shuffled)}", flush=True)
    for name, one in (("without a history", without), ("with", model)):
        found = stages(plain, one, work / "ordered")
        print(f"seconds by stage, a model {name}: {json.dumps({k: round(v, 2) for k, v in found.items()})}", flush=True)


if __name__ == "__main__":
    main()

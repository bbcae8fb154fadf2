"""How fast a model runs on prepared alerts, part by part, and whether the batches make a difference.

    python benchmarks/inference.py --data ALERTS --model MODEL-FOLDER [--model ...] --threads 1 2

Every model, part and number of threads has its turn in each round, so that a busy machine slows all of them alike; the
time of the processor, all threads together, hardly depends on what else runs. A part of the graph is told by the graph
cut off after it: encoder (z_stamp), with GRU and joining layers (z_object), whole (classifier, decoders, scores too).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx.utils import Extractor

from fulgor.models.card import ONNX, SCORES
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.graph import Graph
from fulgor.models.layout import INPUTS, OUTPUTS
from fulgor.models.scores.suite import ScoreSuite
from fulgor.models.serving import CHUNK, LoadedModel, load
from fulgor.replay.labelled import labelled_alerts

SPLITS = (1, 7, 32, 64, 100, 256)
CUTS = {"encoder": "stamp_latent", "encoder, GRU, join": "latent"}

Arrays = dict[str, np.ndarray]
Run = Callable[[int], object]
"""What is timed, by the number of threads."""


def in_batches(model: LoadedModel, arrays: Arrays, size: int) -> Mapping[str, np.ndarray]:
    count = len(arrays["stamps"])
    parts = [model.predict({name: one[at : at + size] for name, one in arrays.items()}) for at in range(0, count, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def print_splits(model: LoadedModel, arrays: Arrays) -> None:
    """The largest difference from one batch of everything, relative to the largest value of an output."""
    whole = in_batches(model, arrays, len(arrays["stamps"]))
    order = np.random.default_rng(0).permutation(len(arrays["stamps"]))
    shuffled = in_batches(model, {name: one[order] for name, one in arrays.items()}, 64)
    print(f"\n{model.card['name']} {model.model_hash}, {len(order)} alerts; {model.card['parameters']} parameters\n")
    names = ("latent", "stamp_latent", "probabilities", "scores", "anomaly")
    print("| batches of | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    found = {str(size): in_batches(model, arrays, size) for size in SPLITS}
    found["64, shuffled"] = {name: one[np.argsort(order)] for name, one in shuffled.items()}
    for size, some in found.items():
        cells = [f"{difference(whole[name], some[name]):.1e}" for name in names]
        print(f"| {size} | " + " | ".join(cells) + " |")


def difference(one: np.ndarray, other: np.ndarray) -> float:
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    largest = np.nanmax(np.abs(one), axis=0)
    return float(np.nanmax(np.abs(one - other) / np.maximum(largest, 1e-9)))


def cut(graph: Path, output: str, target: Path) -> Path:
    """Write the graph up to one of its outputs."""
    onnx.save(Extractor(onnx.load(graph)).extract_model(list(INPUTS), [output]), target)
    return target


def of_graph(path: Path, outputs: tuple[str, ...], arrays: Arrays) -> Run:
    opened: dict[int, Graph] = {}

    def run(threads: int) -> object:
        if threads not in opened:
            opened[threads] = Graph(path, INPUTS, outputs, threads)
        return chunks(lambda some: opened[threads]([some[name] for name in INPUTS]), arrays)

    return run


def of_scores(score: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> Run:
    def run(threads: int) -> object:  # noqa: ARG001 - numpy, whatever the number
        return chunks(lambda some: score(some["rows"]), {"rows": rows})

    return run


def chunks(run: Callable[[Arrays], object], arrays: Arrays) -> list[object]:
    count = len(next(iter(arrays.values())))
    return [run({name: one[at : at + CHUNK] for name, one in arrays.items()}) for at in range(0, count, CHUNK)]


def parts(folder: Path, arrays: Arrays, scratch: Path, threads: list[int]) -> dict[str, Run]:
    """What is timed of a model, by name."""
    served = {number: load(folder, "cpu", threads=number) for number in threads}
    found: dict[str, Run] = {}
    for name, output in CUTS.items():
        found[name] = of_graph(cut(folder / ONNX, output, scratch / f"{folder.name}.{output}.onnx"), (output,), arrays)
    found["whole graph"] = of_graph(folder / ONNX, OUTPUTS, arrays)
    if (folder / SCORES).exists():
        suite = ScoreSuite.load(folder / SCORES)
        latents = served[threads[0]].predict(arrays)["latent"]
        rows = np.asarray((latents - suite.mean) / suite.spread, np.float32)
        found |= {f"score {name}": of_scores(score, rows) for name, score in suite.scores.items()}
        found["all fitted scores"] = of_scores(suite, latents)
    found["everything, as served"] = lambda number: chunks(served[number].predict, arrays)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled archive")
    parser.add_argument("--model", type=Path, action="append", required=True, help="folders of models")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--count", type=int, default=256, help="alerts of a round")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    alerts = AlertSet.gather(labelled_alerts(given.data))
    for folder in given.model:
        print_splits(load(folder, "cpu"), alerts.dataset.take(np.arange(len(alerts))))
    arrays = alerts.dataset.take(np.arange(given.count))
    with TemporaryDirectory() as scratch:
        timed = {}
        for folder in given.model:
            for name, run in parts(folder, arrays, Path(scratch), given.threads).items():
                for threads in given.threads:
                    timed[folder.name, name, threads] = run
        print_rates(timed, given.count, given.rounds)


def print_rates(timed: Mapping[tuple[str, str, int], Run], count: int, rounds: int) -> None:
    wall: dict[tuple[str, str, int], list[float]] = {key: [] for key in timed}
    processor: dict[tuple[str, str, int], list[float]] = {key: [] for key in timed}
    for number in range(rounds + 1):  # the first one only warms up
        for key, run in timed.items():
            begun, used = time.perf_counter(), time.process_time()
            run(key[2])
            if number:
                wall[key].append(time.perf_counter() - begun)
                processor[key].append(time.process_time() - used)
    print(f"\n{rounds} rounds of {count} alerts in chunks of {CHUNK}\n")
    print("| model | part | threads | alerts/s, median | best | processor, us/alert |\n|---|---|---|---|---|---|")
    for (model, part, threads), found in wall.items():
        rates = (f"{count / np.median(found):,.0f}", f"{count / min(found):,.0f}")
        used = 1e6 * np.median(processor[model, part, threads]) / count
        print(f"| {model} | {part} | {threads} | " + " | ".join(rates) + f" | {used:.0f} |")


if __name__ == "__main__":
    main()

"""Strokes located among simulated pulses, beside where they truly struck; and the residuals of one real stroke.

    python benchmarks/location.py --seeds 301 302 303 304 --rows rows.json
    python benchmarks/location.py --real stroke_20231002T180228_8sites.json --nodes node_config.json

Pulses come from simulated chunks of 11 sites as the preparation finds them; the simulator's waves (ground wave,
hops, modes, ground that retards each path by its own part) are not the solver's, which knows one speed. What was
found of a seed is kept in ROWS, so that a run can be cut short; the tables are of all that is in there. A stroke is
compared with the discharge that most of its pulses are of. "Own pulses" is the share of strokes that hold no other's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fulgor.models.location import Locator, Propagation, Sighting, Stroke, solve, timing
from fulgor.plots.strokes import Place, stroke_map
from fulgor.preprocessing.leela import LeelaChunk, prepare_together
from fulgor.preprocessing.leela.chunk import chunk_of
from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.preprocessing.leela.nodes import read_nodes
from fulgor.preprocessing.records import AvroRecord
from fulgor.replay.simulate.leela import NETWORK, simulate

RATE = 3.0
SITES = 11
NEAR_SAMPLES = 20
PAUSE_NS, LEAST_PULSES = 14_000_000, 60
PASS = 256


def sightings(count: int, seed: int) -> tuple[list[Sighting], dict[str, str], dict]:
    """Return the pulses of simulated chunks, which discharge each is of, and the discharges."""
    found, of, truth = [], {}, {}
    chunks = [
        (chunk_of(AvroRecord(0, each.record, b"")), each) for each in simulate(count, seed, site_count=SITES, rate=RATE)
    ]
    for at in range(0, len(chunks), PASS):
        some = chunks[at : at + PASS]
        for (chunk, simulated), prepared in zip(some, prepare_together([c for c, _ in some]), strict=True):
            truth |= {arrival.discharge.id: arrival.discharge for arrival in simulated.seen}
            for number, (pulse, window) in enumerate(zip(prepared.pulses, prepared.windows, strict=True), 1):
                name = f"{chunk.id}#{number}"
                found.append(sighting(name, chunk, pulse.peak, pulse.amplitude, window))
                apart = [abs(pulse.peak_at - peak) for peak in simulated.peaks]
                if apart and min(apart) < NEAR_SAMPLES:
                    of[name] = simulated.seen[int(np.argmin(apart))].discharge.id
    return found, of, truth


def sighting(name: str, chunk: LeelaChunk, peak: int, amplitude: float, window: np.ndarray) -> Sighting:
    """Return a pulse as the job reads it from its row."""
    times = timing(window.astype("<f2"), chunk.interval_ns / 1000)
    return Sighting(name, chunk.node, chunk.start_ns + round(peak * chunk.interval_ns), amplitude, times)


def blocks(found: list[Sighting]) -> Iterator[list[Sighting]]:
    """Cut time in pauses, as the job does."""
    block: list[Sighting] = []
    for each in sorted(found, key=lambda one: one.time_ns):
        if len(block) > LEAST_PULSES and each.time_ns - block[-1].time_ns > PAUSE_NS:
            yield block
            block = []
        block.append(each)
    yield block


def row(stroke: Stroke, of: dict[str, str], truth: dict) -> dict:
    """Return what is told of a stroke in the tables."""
    whose = Counter(of[s.id] for s in stroke.sightings if s.id in of)
    here = stroke.solution
    found = {
        "sites": len(stroke.sightings), "method": stroke.method, "ambiguous": stroke.ambiguous,
        "place": (here.lat, here.lon, here.semi_major_km, here.semi_minor_km, here.azimuth_deg),
    }  # fmt: skip
    if not whose:
        return {**found, "km": None, "ellipse": None, "own": False}
    name, pulses = min(whose.items(), key=lambda pair: (-pair[1], pair[0]))
    true = truth[name]
    km = float(distance_m(true.lat, true.lon, here.lat, here.lon)) / 1e3
    turn = np.radians(here.azimuth_deg)
    east = (true.lon - here.lon) * 111.3 * np.cos(np.radians(true.lat))
    north = (true.lat - here.lat) * 111.2
    along, across = east * np.sin(turn) + north * np.cos(turn), east * np.cos(turn) - north * np.sin(turn)
    # In units of the ellipse's axes: it holds what is at most 1.
    share = float(np.hypot(along / here.semi_major_km, across / here.semi_minor_km))
    return {**found, "km": km, "ellipse": share, "own": pulses == len(stroke.sightings)}


def located(count: int, seed: int) -> dict:
    pulses, of, truth = sightings(count, seed)
    locator = Locator({site.node.node: (site.node.lat, site.node.lon) for site in NETWORK})
    began = time.process_time()
    strokes = [stroke for block in blocks(pulses) for stroke in locator.locate(block)]
    seconds = time.process_time() - began
    heard = defaultdict(set)
    for each in pulses:
        if each.id in of:
            heard[of[each.id]].add(each.node)
    return {
        "pulses": len(pulses), "seconds": seconds, "strokes": [row(stroke, of, truth) for stroke in strokes],
        "heard": Counter(len(nodes) for nodes in heard.values()),
    }  # fmt: skip


def tables(kept: dict[str, dict]) -> None:
    strokes = [each for seed in kept.values() for each in seed["strokes"]]
    seconds, pulses = (sum(seed[name] for seed in kept.values()) for name in ("seconds", "pulses"))
    print(
        f"simulated, seeds {', '.join(kept)}: {pulses} pulses, {len(strokes)} strokes,"
        f" {sum(s['ambiguous'] for s in strokes)} of them flagged; {len(strokes) / seconds:.1f} strokes/s of one core\n"
    )
    print("| strokes | number | median km | 90 % km | in their 95 % ellipse | own pulses only |")
    print("|---|---|---|---|---|---|")
    sure = [each for each in strokes if not each["ambiguous"]]
    for name, chosen in (("not flagged", sure), ("flagged", [each for each in strokes if each["ambiguous"]])):
        line(f"{name}: all", chosen)
        for sites in sorted({each["sites"] for each in chosen}):
            line(f"{name}: {sites} sites", [each for each in chosen if each["sites"] == sites])
    for method in ("phase", "envelope"):
        chosen = [each for each in sure if each["method"] == method]
        line(f"not flagged: by {method}", chosen)
        shares = [each["ellipse"] for each in chosen if each["own"] and each["ellipse"] is not None]
        if shares:
            print(f"<!-- {method}: 95 % of the unmixed lie within {np.percentile(shares, 95):.2f} ellipses -->")


def line(name: str, rows: list[dict]) -> None:
    if not rows:
        return
    km = [np.inf if each["km"] is None else each["km"] for each in rows]
    inside = np.mean([each["ellipse"] is not None and each["ellipse"] <= 1 for each in rows])
    own = np.mean([each["own"] for each in rows])
    middle, most = np.percentile(km, (50, 90), method="nearest")
    print(f"| {name} | {len(rows)} | {middle:.1f} | {most:.1f} | {inside:.3f} | {own:.2f} |")


def real(path: Path, nodes: Path) -> None:
    """Print the residuals of one real stroke at several speeds."""
    described, known = json.loads(path.read_text()), read_nodes(nodes)
    places = np.array([(known[each["node"]].lat, known[each["node"]].lon) for each in described])
    times = np.array([each["timestamp"] for each in described], "M8[ns]").astype(np.int64)
    for name, slowness, free in (
        ("c", 1.0, False), ("1.00425 c", 1 / 1.00425, False), ("c / 1.00425", 1.00425, False), ("free", 1.0, True),
    ):  # fmt: skip
        found = solve(
            places, (times - times[0]) / 1e3, Propagation(slowness, 1.0, 0.0), (52.0, 0.0), free_speed=free,
            loss="linear",
        )  # fmt: skip
        print(
            f"{name}: rms {found.rms_us:.1f} us at {found.lat:.2f}, {found.lon:.2f}, c / speed {found.slowness:.4f}"
            if found
            else f"{name}: no solution"
        )


def draw(strokes: list[dict], path: Path) -> None:
    places = [Place(*each["place"], each["ambiguous"]) for each in strokes]
    figure = stroke_map(places, [(site.node.lat, site.node.lon) for site in NETWORK])
    figure.savefig(path, dpi=75, pil_kwargs={"optimize": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--count", type=int, default=6000, help="chunks of each seed")
    parser.add_argument("--rows", type=Path, help="JSON file in which what was found is kept")
    parser.add_argument("--picture", type=Path, help="where to put a map of the first seed's strokes")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--nodes", type=Path)
    arguments = parser.parse_args()
    kept = json.loads(arguments.rows.read_text()) if arguments.rows and arguments.rows.exists() else {}
    for seed in arguments.seeds:
        if str(seed) not in kept:
            kept[str(seed)] = located(arguments.count, seed)
            if arguments.rows:
                arguments.rows.write_text(json.dumps(kept))
    if kept:
        tables(kept)
        if arguments.picture:
            draw(next(iter(kept.values()))["strokes"], arguments.picture)
    if arguments.real:
        real(arguments.real, arguments.nodes)


if __name__ == "__main__":
    main()

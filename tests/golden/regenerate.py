"""Write the golden arrays anew: ``python tests/golden/regenerate.py [--alerts]``.

``ztf_alerts.avro`` holds a dozen simulated alerts of all classes and of as many oddities as the
simulator knows; ``--alerts`` picks them anew. ``ztf_prepared.npz`` holds what `prepare` makes of them.
Changed arrays are refused unless `PREPARATION_VERSION` has gone up: models and stored
results name their preparation by it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.ztf import ALERCE, DEFAULT, Recipe, ZtfAlert, ZtfDecoder, prepare
from fulgor.preprocessing.ztf import recipe as recipe_module

FOLDER = Path(__file__).resolve().parent
ALERTS, PREPARED = "ztf_alerts.avro", "ztf_prepared.npz"
RECIPES = {"default": DEFAULT, "alerce": ALERCE}
COUNT = 12
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}

Arrays = dict[str, NDArray[np.generic]]


class StaleVersionError(RuntimeError):
    """The arrays changed, the version did not."""


def alerts_of(folder: Path) -> list[ZtfAlert]:
    """Return the golden alerts."""
    return [row for row in ZtfDecoder()((folder / ALERTS).read_bytes()) if isinstance(row, ZtfAlert)]


def _prepared(alerts: list[ZtfAlert], name: str, recipe: Recipe) -> Arrays:
    results = [prepare(alert, recipe) for alert in alerts]
    arrays = {f"{name}/{key}": np.stack([result.arrays[key] for result in results]) for key in results[0].arrays}
    arrays[f"{name}/flags"] = np.array([int(result.flags) for result in results])
    arrays[f"{name}/hash"] = np.array(recipe.content_hash)
    return arrays


def prepared_arrays(folder: Path) -> Arrays:
    """Return what every recipe makes of the golden alerts, with version and hashes."""
    arrays: Arrays = {"version": np.array(recipe_module.PREPARATION_VERSION)}
    for name, recipe in RECIPES.items():
        arrays |= _prepared(alerts_of(folder), name, recipe)
    return arrays


def read_golden(folder: Path) -> Arrays:
    """Return the arrays that were written last."""
    with np.load(folder / PREPARED) as file:
        return {name: file[name] for name in file.files}


def differences(golden: Arrays, found: Arrays) -> list[str]:
    """Return the names of the arrays that differ."""
    names = sorted((golden.keys() | found.keys()) - {"version"})

    def same(name: str) -> bool:
        if name not in golden or name not in found or golden[name].shape != found[name].shape:
            return False
        if golden[name].dtype.kind != "f":
            return bool(np.array_equal(golden[name], found[name]))
        return golden[name].dtype == found[name].dtype and np.allclose(golden[name], found[name], **TOLERANCE)

    return [name for name in names if not same(name)]


def regenerate(folder: Path) -> list[str]:
    """Write the golden arrays; return the names of those that changed.

    Raises
    ------
    StaleVersionError
        Arrays changed although `PREPARATION_VERSION` is the one that they were written with.
    """
    found = prepared_arrays(folder)
    golden = read_golden(folder) if (folder / PREPARED).exists() else {"version": np.array(-1)}
    changed = differences(golden, found)
    if changed and int(golden["version"]) == int(found["version"]):
        raise StaleVersionError(f"PREPARATION_VERSION has to go up: {', '.join(changed)} changed")
    np.savez_compressed(folder / PREPARED, **found)
    return changed


def pick_alerts(folder: Path, seed: int = 2026) -> None:
    """Choose alerts so that classes and flags occur early and often."""
    from fulgor.replay.simulate.ztf import encode, simulate

    simulated = list(simulate(count=600, seed=seed))
    decoder, chosen, seen = ZtfDecoder(), [], set[tuple[str, int]]()
    for alert in simulated:
        (row,) = decoder(encode([alert.record]))
        assert isinstance(row, ZtfAlert)
        kind = (alert.label, int(prepare(row).flags))
        if kind not in seen:
            seen.add(kind)
            chosen.append((kind[1].bit_count(), alert))
    rest = [alert for _, alert in sorted(chosen, key=lambda pair: -pair[0])]
    picked = [next(alert for alert in simulated if alert.label == label) for label in {a.label: 0 for a in simulated}]
    picked += [alert for alert in rest if alert not in picked][: COUNT - len(picked)]
    (folder / ALERTS).write_bytes(encode([alert.record for alert in sorted(picked, key=lambda a: a.jd)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", action="store_true", help="pick the alerts anew from the simulator")
    if parser.parse_args().alerts:
        pick_alerts(FOLDER)
        (FOLDER / PREPARED).unlink(missing_ok=True)
    print("changed:", ", ".join(regenerate(FOLDER)) or "nothing")

"""How far turning and mirroring the prepared stamps moves the shipped model's latents, over real alerts.

    python benchmarks/invariance.py ../shared/data/ztf/packets ../shared/data/ztf/bulk

Prints, for each of the 8 elements of D4, the largest |z(gx) - z(x)| / |z(x)| over all scorable alerts, fp32.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fulgor.models.serving import SHIPPED, load
from fulgor.preprocessing.ztf import Prepared, ZtfAlert, ZtfDecoder, prepare
from fulgor.replay.archive import open_archive

BATCH = 64


def prepared(paths: list[Path]) -> Iterator[Prepared]:
    decode = ZtfDecoder()
    for path in paths:
        for message in open_archive(path):
            for alert in decode(message.value):
                if isinstance(alert, ZtfAlert) and (found := prepare(alert)).unscorable is None:
                    yield found


def turned(stamps: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    flipped = stamps[..., ::-1] if mirror else stamps
    return np.ascontiguousarray(np.rot90(flipped, turns, axes=(-2, -1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, default=SHIPPED / "ztf")
    arguments = parser.parse_args()
    model, alerts = load(arguments.model, "cpu", threads=1), list(prepared(arguments.archives))
    worst = dict.fromkeys(((turns, mirror) for mirror in (False, True) for turns in range(4)), (0.0, 0.0))
    for start in range(0, len(alerts), BATCH):
        some = alerts[start : start + BATCH]
        arrays = {name: np.stack([alert.arrays[name] for alert in some]) for name in some[0].arrays}
        plain = model.predict(arrays)
        for element in worst:
            moved = arrays | {name: turned(arrays[name], *element) for name in ("stamps", "masks")}
            found = model.predict(moved)
            errors = (
                float((np.linalg.norm(found[key] - plain[key], axis=1) / np.linalg.norm(plain[key], axis=1)).max())
                for key in ("latent", "stamp_latent")
            )
            worst[element] = tuple(map(max, worst[element], errors))
    print(f"{len(alerts)} alerts, model {model.model_hash}")
    print("| turns | mirrored | latent | stamp latent |\n|---|---|---|---|")
    for (turns, mirror), (latent, stamp) in worst.items():
        print(f"| {turns} | {mirror} | {latent:.1e} | {stamp:.1e} |")


if __name__ == "__main__":
    main()

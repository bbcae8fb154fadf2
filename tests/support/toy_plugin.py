"""The toy stream as a package of somebody else's would offer it: an instrument with its model, by an entry point."""

from __future__ import annotations

import json
import os
from pathlib import Path

from toy import CARD, TABLE, ToyPredictor, ToyStream

MODEL = CARD | {
    "format": 1, "latent": 64, "architecture": {}, "calibration": {}, "recurrence": {}, "precision": "float32",
    "reference": {"id": "toys"}, "files": {}, "model_hash": CARD["hash"],
}  # fmt: skip


class Predictor(ToyPredictor):
    card = MODEL


class Toy(ToyStream):
    table = TABLE
    default_topic = "toys"

    def __init__(self, settings: object) -> None:
        self.default_model = Path(os.environ["TOY_MODEL"])

    def load_model(self, folder: Path, device: str, threads: int) -> Predictor:
        assert (folder / "card.json").is_file()
        return Predictor()


class Nameless(Toy):
    name = "nameless"


class Halved(ToyStream):
    """No instrument: a stream only."""

    def __init__(self, settings: object) -> None:
        pass


class Failing(Toy):
    def __init__(self, settings: object) -> None:
        raise OSError("the calibration file is away")


class Tableless:
    def __init__(self, settings: object) -> None:
        pass


def offer(folder: Path, package: str, **streams: str) -> None:
    """Write what an installer would: a package that offers streams, such as ``toy="toy_plugin:Toy"``."""
    info = folder / f"{package.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = [f"{name} = {value}" for name, value in streams.items()]
    (info / "entry_points.txt").write_text("\n".join(["[fulgor.streams]", *lines, ""]))


def write_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "card.json").write_text(json.dumps(MODEL))

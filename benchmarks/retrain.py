"""Does retraining mend a model that began on half the classes? Simulated alerts; objects that neither model saw.

    python benchmarks/retrain.py [--split object|time] [--work FOLDER]

A first model is trained on the AGN and variable stars of a simulated archive alone; ``fulgor retrain`` then
starts from it with alerts of all five classes, of another seed. Both are measured on the held-out objects of
the second archive: of its later nights (time), or of any night (object). What is in FOLDER is not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.export import save
from fulgor.models.fitting import TrainingConfig
from fulgor.models.training import train
from fulgor.preprocessing.ztf import DEFAULT
from fulgor.replay.labelled import labelled_alerts

KNOWN = ("AGN", "VS")


def fulgor(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "fulgor", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=8, help="of the first training")
    parser.add_argument("--retrain-epochs", type=int, default=5)
    parser.add_argument("--split", choices=["time", "object"], default="time")
    parser.add_argument("--work", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = options.work or Path(tempfile.mkdtemp(prefix="fulgor-retrain-"))
    first, second, base = work / "first", work / "second", work / "base"
    for archive, seed in ((first, 11), (second, 12)):
        if not archive.exists():
            fulgor("simulate", "ztf", "--count", str(options.count), "--seed", str(seed), "--out", str(archive))
    if not base.exists():
        train_half(first, base, options.epochs)
    out = work / f"after-{options.split}"
    words = ("--archive", str(second), "--from-model", str(base), "--out", str(out), "--simulated")
    print(fulgor("retrain", "ztf", *words, "--epochs", str(options.retrain_epochs), "--split", options.split))


def train_half(archive: Path, base: Path, epochs: int) -> None:
    half = AlertSet.gather(alert for alert in labelled_alerts(archive) if alert.label in KNOWN).dataset
    model = train(half, TrainingConfig(epochs=epochs), lambda epoch: print(epoch, file=sys.stderr))
    data = {"archive": archive.name, "simulated": True}
    save(model, base, name="half", preprocessing_hash=DEFAULT.content_hash, data=data)
    print(f"the first model knows {' and '.join(KNOWN)}: {len(half)} alerts")


if __name__ == "__main__":
    main()

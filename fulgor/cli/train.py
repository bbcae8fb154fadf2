"""``fulgor train``: a model from archives of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import typer

from fulgor.errors import SettingsError

__all__ = ["train"]


def train(
    stream: str = typer.Argument(help="Instrument: ztf or leela."),
    archive: list[Path] = typer.Option(help="File, folder or tarball of alerts; ztf: may be repeated."),
    labels: Path = typer.Option(
        None, help="Table with columns candid (leela: chunk, flash) and label; by default labels.csv in the archive."
    ),
    out: Path = typer.Option(
        None, help="Folder of the new model; by default model-STREAM. A training of ztf that was cut short goes on."
    ),
    name: str = typer.Option(None, help="Name on the model's card; by default the stream's."),
    simulated: bool = typer.Option(True, help="Whether the archives are simulated; the card says so."),
    from_model: Path | None = typer.Option(
        None, help="ztf: tune this model on the labelled real alerts of the archives."
    ),
    unlabelled: list[Path] = typer.Option([], help="With --from-model: more real alerts, without labels."),
    rehearse: Path | None = typer.Option(None, help="With --from-model: a labelled simulated archive, as a reminder."),
    history_stamps: bool = typer.Option(
        False, help="ztf: a model whose recurrence also takes the stored stamp latents of an object's earlier alerts."
    ),
    epochs: int = typer.Option(30, min=1, max=10_000, help="Passes at most."),
    seed: int = typer.Option(0, min=0, help="Fixes split, weights and every draw."),
    size: int = typer.Option(31, help="ztf: stamp size inside the network: 63, 31 or 21."),
    width: int = typer.Option(4, min=1, max=64, help="ztf: fields of the first layer."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    threads: int = typer.Option(1, min=1, max=256, help="Threads that torch computes with."),
    cache: Path = typer.Option(None, help="ztf: where prepared alerts are kept; by default in the user's cache."),
) -> None:
    """Train a model, export it for CPU and GPU, and write its card.

    A ztf model can be trained by several processes: torchrun --nproc-per-node 4 -m fulgor train ztf ...
    """
    if stream not in ("ztf", "leela"):
        raise SettingsError(f"there is no training for stream {stream!r}; it exists for ztf and leela")
    _require("onnx", "onnxscript", "sklearn", "zuko", "coniferest")
    out, name = out or Path(f"model-{stream}"), name or stream
    if stream == "leela":
        from fulgor.cli.train_leela import train_leela

        _check_leela(archive, history_stamps=history_stamps)
        train_leela(
            archive[0], labels, out, name=name, simulated=simulated, epochs=epochs, seed=seed, threads=threads,
            device=device,
        )  # fmt: skip
        return
    import torch

    torch.set_num_threads(threads)
    if from_model is not None:
        from fulgor.cli.tune_ztf import tune_ztf

        tune_ztf(
            archive, labels, out, from_model, unlabelled, _rehearsal(unlabelled, rehearse),
            name=name, seed=seed, cache=cache, history_stamps=history_stamps,
        )  # fmt: skip
        return
    from fulgor.cli.train_ztf import train_ztf
    from fulgor.models.fitting import TrainingConfig

    config = TrainingConfig(size=size, width=width, epochs=epochs, seed=seed)
    train_ztf(
        archive, labels, out, config, name=name, simulated=simulated, device=device, cache=cache,
        history_stamps=history_stamps,
    )  # fmt: skip


def _check_leela(archives: Sequence[Path], *, history_stamps: bool) -> None:
    """Refuse what only ztf has."""
    _alone()
    if history_stamps:
        raise SettingsError("--history-stamps is for ztf: leela's model takes no history")
    if len(archives) > 1:
        raise SettingsError("leela is trained on one archive; give --archive once")


def _rehearsal(unlabelled: Sequence[Path], rehearse: Path | None) -> Path:
    """Return the archive to rehearse with; refuse a tuning that lacks an archive."""
    _alone()
    if rehearse is None or not unlabelled:
        raise SettingsError("--from-model needs --unlabelled and --rehearse as well, see `fulgor train --help`")
    return rehearse


def _alone() -> None:
    """Refuse several processes where there is nothing for the others to do."""
    from fulgor.models.distributed import processes

    if processes() > 1:
        raise SettingsError("only a ztf model from the beginning is trained by several processes; leave out torchrun")


def _require(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise SettingsError(f"training needs {' and '.join(missing)}: pip install 'fulgor[train]'")

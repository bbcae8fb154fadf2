"""``fulgor models quantize``: a model's twin whose convolutions run in 8-bit integers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import typer

from fulgor.cli.output import JSON, emit_one
from fulgor.errors import SettingsError

__all__ = ["quantize"]


def quantize(
    folder: Path = typer.Argument(help="Folder of a ZTF model, as 'fulgor train' writes it."),
    archive: Path = typer.Option(help="File, folder or tarball of alerts: they tell the ranges, and rank its scores."),
    out: Path = typer.Option(None, help="Folder of the twin; by default FOLDER-int8 in the current folder."),
    name: str = typer.Option(None, help="Name on its card; by default the model's with -int8."),
    cache: Path = typer.Option(None, help="Where prepared alerts are kept; by default in the user's cache."),
    as_json: bool = JSON,
) -> None:
    """Write the 8-bit twin of a model: a model of its own, with a hash and a reference of its own, for the CPU."""
    if find_spec("onnx") is None:
        raise SettingsError("quantizing needs onnx: pip install 'fulgor[train]'")
    from fulgor.cli.train_ztf import read
    from fulgor.consumer.settings import load_settings
    from fulgor.models.card import read_card
    from fulgor.models.layout import CLASSES
    from fulgor.models.quantize import quantize as write_twin
    from fulgor.models.staging import make_folder, staged
    from fulgor.streams.registry import instrument

    card = read_card(folder)
    target = out or Path(f"{folder.name}-int8")
    make_folder(target)
    alerts = read(instrument("ztf", load_settings({})), cache, archive).dataset({}, CLASSES)
    with staged(target) as fresh:
        made = write_twin(folder, fresh, alerts, name=name or f"{card['name']}-int8", data=archive.name)
    told = {"model": made["name"], "hash": made["model_hash"], "folder": str(target)}
    emit_one({**told, "reference": made["reference"]["id"], **made["quantized"]["agreement"]}, as_json=as_json)

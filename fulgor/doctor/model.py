"""The model's files, the device that it would run on, and the packages behind both."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fulgor import __version__
from fulgor.consumer.preparation import check_preparation
from fulgor.consumer.stream import Stream
from fulgor.doctor.check import Check, passed, warned
from fulgor.errors import DeviceError, FulgorError, ModelError
from fulgor.models.card import read_card, verify
from fulgor.models.device import choose, driver_version, gpu_count

__all__ = ["check_device", "check_model_files", "check_packages"]

_PACKAGES = (
    "numpy", "onnxruntime", "torch", "astropy", "fastavro", "confluent-kafka", "psycopg", "pgvector",
    "prometheus-client",
)  # fmt: skip


def check_model_files(folder: Path, stream: Stream) -> Check:
    """Read the card, compare the files with it, and it with the stream."""
    card = read_card(folder)
    verify(folder, card)
    if card["stream"] != stream.name:
        raise ModelError(f"the model in {folder} is of stream {card['stream']!r}, not {stream.name!r}: name another")
    check_preparation(stream, str(card["preprocessing_hash"]))
    reference = card["reference"].get("id")
    return passed(
        "model",
        f"{card['name']} ({card['model_hash']}) in {folder}: files as on the card, preparation"
        f" {card['preprocessing_hash']} is this program's, reference {reference}",
    )


def check_device(asked: str) -> Check:
    """Say where the model would run, without loading torch."""
    chosen = choose(asked)
    arrow = chosen if chosen == asked else f"{asked} -> {chosen}"
    driver = driver_version()
    if driver is None:
        return passed("device", f"{arrow}; no CUDA driver")
    gpus = f"CUDA driver {driver}, {gpu_count()} GPU{'s' if gpu_count() != 1 else ''}"
    if chosen == "cuda" and version("torch").endswith("+cpu"):
        problem = f"{gpus}, but torch {version('torch')} is built for the CPU: install its CUDA build"
        if asked == "cuda":
            raise DeviceError(f"{problem}, or use --device cpu")
        return warned("device", f"{asked} -> cpu; {problem} to use the GPU")
    return passed("device", f"{arrow}; {gpus}")


def check_packages() -> Check:
    """Name the versions of what a consumer rests on."""
    found, missing = [f"fulgor {__version__}", f"Python {platform.python_version()}"], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise FulgorError(f"packages are missing: {', '.join(missing)}; install fulgor again")
    return passed("packages", ", ".join(found))

"""The card beside the weights: what a model is, what it was made from, and what it can do.

A model is a folder of three files, or of four where scores were fitted to its latents. The card names the
SHA-256 of the others, so that a damaged or
exchanged file is found before the first alert is scored. The model's *hash* stands on every result;
it covers what a result depends on, and nothing else: weights, preparation, calibration, recurrence
and precision. The reference behind the percentiles has an id of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fulgor.errors import ModelError
from fulgor.models.wholefile import whole_file

__all__ = [
    "CARD",
    "FORMAT",
    "INT8",
    "ONNX",
    "PRECISION",
    "SCORES",
    "WEIGHTS",
    "file_hash",
    "model_hash",
    "read_card",
    "used_objects",
    "verify",
    "write_card",
]

WEIGHTS: Final = "weights.safetensors"
ONNX: Final = "model.onnx"
SCORES: Final = "scores.safetensors"
CARD: Final = "card.json"

FORMAT: Final = 1
"""Version of the card's layout."""

PRECISION: Final = "float32"
INT8: Final = "int8"
"""Precision of a model whose convolutions run in 8-bit integers, see :mod:`fulgor.models.quantize`."""

LARGEST_CARD: Final = 1 << 20
LARGEST_FILE: Final = 1 << 30
"""Bytes; anything larger is not one of ours."""

FIELDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "format": int,
    "name": str,
    "stream": str,
    "classes": list,
    "scores": list,
    "latent": int,
    "architecture": dict,
    "preprocessing_hash": str,
    "calibration": dict,
    "recurrence": dict,
    "precision": str,
    "reference": dict,
    "files": dict,
    "model_hash": str,
}
"""Fields that no card may lack; the others are for the reader."""


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, hex.

    Raises
    ------
    ModelError
        The file is missing, unreadable, or absurdly large.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ModelError(f"{path} has {size} bytes, more than any model of ours; check what it is")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); export or install the model again") from error


def model_hash(card: Mapping[str, Any]) -> str:
    """Return the hash of what a result depends on, 16 hex digits."""
    identity = {
        "weights": card["files"][WEIGHTS],
        "preprocessing": card["preprocessing_hash"],
        "calibration": card["calibration"],
        "recurrence": card["recurrence"],
        "precision": card["precision"],
    }
    if SCORES in card["files"]:
        identity["scores"] = card["files"][SCORES]
    if card["precision"] != PRECISION:  # its graph holds what the weights do not tell: the ranges between the layers
        identity["graph"] = card["files"][ONNX]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def write_card(directory: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write a card, with the hashes of its files and its own; return it as written.

    Raises
    ------
    ModelError
        A file of the model is missing.
    """
    files = {name: file_hash(directory / name) for name in _files(card)}
    full = {"format": FORMAT, "precision": PRECISION, **card, "files": files}
    full["model_hash"] = model_hash(full)
    with whole_file(directory / CARD) as part:
        part.write_text(json.dumps(full, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return full


def read_card(directory: Path) -> dict[str, Any]:
    """Return the card of a model folder.

    Raises
    ------
    ModelError
        There is none, it is damaged, of another format, or does not match its own hash.
    """
    path = directory / CARD
    card = _parsed(path)
    if card.get("format") != FORMAT:
        raise ModelError(
            f"{path} has format {card.get('format')!r}, this program reads {FORMAT}; export the model again"
        )
    for name, kind in FIELDS.items():
        if not isinstance(card.get(name), kind):
            raise ModelError(f"{path} has no usable field {name!r}; export the model again")
    if sorted(card["files"]) != sorted(_files(card)):
        raise ModelError(f"{path} does not list {' and '.join(_files(card))} under 'files'; export the model again")
    if model_hash(card) != card["model_hash"]:
        raise ModelError(
            f"{path} was changed after its export: it claims model {card['model_hash']} but is {model_hash(card)}"
        )
    return card


def used_objects(card: Mapping[str, Any]) -> frozenset[str]:
    """Return the objects whose alerts a card lists under ``data.used``: no figure of the model may rest on them."""
    rows = card.get("data", {}).get("used", [])
    return frozenset(row["object"] for row in rows if isinstance(row, Mapping) and isinstance(row.get("object"), str))


def verify(directory: Path, card: Mapping[str, Any]) -> None:
    """Compare the files with the card.

    Raises
    ------
    ModelError
        A file is missing or is not the one that the card describes.
    """
    for name, expected in card["files"].items():
        found = file_hash(directory / name)
        if found != expected:
            raise ModelError(
                f"{directory / name} is damaged or belongs to another model: its SHA-256 is {found[:12]}..., the card "
                f"says {str(expected)[:12]}...; export or install the model again"
            )


def _files(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files that a card must list."""
    return (WEIGHTS, ONNX, SCORES) if card.get("fitted_scores") else (WEIGHTS, ONNX)


def _parsed(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise ModelError(
            f"there is no model folder {path.parent}; train one with `fulgor train ztf`, or check the path"
        )
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise ModelError(f"{path} is larger than any card; check what it is")
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); is this the folder of a model?") from error
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}); export or install the model again") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path} is damaged: it holds no JSON object; export or install the model again")
    return card

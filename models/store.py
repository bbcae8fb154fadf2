"""The folder in which a machine keeps its models, each under its hash.

A model comes in as a folder or as files from elsewhere, is checked against its card, and becomes
visible by one rename: nobody meets half a model. It is checked again whenever it is looked up.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fulgor.errors import ModelError
from fulgor.models.card import CARD, LARGEST_CARD
from fulgor.models.turns import alone

__all__ = ["LARGEST_MODEL", "ModelStore", "model_files", "reference_id"]

LARGEST_MODEL: Final = 256 << 20
"""Bytes of a model with all its files."""

LOCK: Final = ".lock"
"""File in the folder of models while one takes its place."""

_MOST_FILES = 16


class ModelStore:
    """Models on disk, by their hashes.

    Parameters
    ----------
    root : Path
        The folder; made when the first model comes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, model_hash: str, reference: str | None) -> Path | None:
        """Return the folder of a model with this reference behind its percentiles; None if it is not here.

        One whose files do not match its card is as good as none.
        """
        folder = self.root / _safe(model_hash)
        if not folder.is_dir():
            return None
        try:
            card = json.loads(model_files(folder)[CARD])
        except ModelError:
            return None
        return folder if (card["model_hash"], reference_id(card)) == (model_hash, reference) else None

    def keep(self, files: Mapping[str, bytes]) -> Path:
        """Write a model's files, in the place of an earlier version with another reference, and return the folder.

        Raises
        ------
        ModelError
            The files do not match their card, or the folder cannot be written.
        """
        card = _checked_card(files)
        target = self.root / _safe(card["model_hash"])
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
            try:
                for name, content in files.items():
                    (fresh / name).write_bytes(content)
                fresh.chmod(0o755)
                with alone(self.root / LOCK):  # several consumers fetch a new model at the same moment
                    if not _holds(target, files):  # else another process was faster, and may be reading them already
                        _put_in_place(fresh, target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        except OSError as error:
            raise ModelError(
                f"the model store {self.root} cannot be written ({error.strerror}); name another folder with"
                " FULGOR_MODEL_STORE"
            ) from error
        return target


def model_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a model folder by name, the card among them, checked against the card.

    Raises
    ------
    ModelError
        There is no card, or a file is missing, damaged, too large, or of another model.
    """
    files, left = {CARD: _read(folder / CARD, LARGEST_CARD)}, LARGEST_MODEL
    card = _parsed(files[CARD], str(folder / CARD))
    for name in _listed(card, str(folder / CARD)):
        files[name] = _read(folder / name, left)
        left -= len(files[name])
    _checked_card(files, str(folder))
    return files


def reference_id(card: Mapping[str, Any]) -> str | None:
    """Return the id of the reference behind a model's percentiles, None where it has none."""
    reference = card.get("reference")
    found = reference.get("id") if isinstance(reference, Mapping) else reference
    return found if isinstance(found, str) else None


def _checked_card(files: Mapping[str, bytes], where: str = "the model") -> dict[str, Any]:
    card = _parsed(files.get(CARD, b""), where)
    for name, expected in _listed(card, where).items():
        found = hashlib.sha256(files.get(name, b"")).hexdigest()
        if found != expected:
            raise ModelError(
                f"{where}: {name} is missing, damaged or of another model: its SHA-256 is {found[:12]}..., the card"
                f" says {expected[:12]}...; export or install the model again"
            )
    return card


def _listed(card: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the SHA-256 of each file that a card names."""
    files = dict(card["files"])
    if isinstance(sample := card.get("sample"), Mapping):
        files[sample.get("file")] = sample.get("sha256")
    for name, digest in files.items():
        if not isinstance(name, str) or not isinstance(digest, str) or Path(name).name != name or name == CARD:
            raise ModelError(f"{where}: the card names a file {name!r}, which no model has; export the model again")
    if len(files) > _MOST_FILES:
        raise ModelError(f"{where}: the card names {len(files)} files; no model has more than {_MOST_FILES}")
    return files


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    try:
        card = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{where}: the card is damaged ({error}); export or install the model again") from error
    if not (isinstance(card, dict) and isinstance(card.get("files"), dict) and isinstance(card.get("model_hash"), str)):
        raise ModelError(f"{where}: the card names no files or no hash; export the model again")
    return card


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); is this the folder of a model?") from error
    if len(content) > most:
        raise ModelError(f"{path} is larger than any model of ours ({LARGEST_MODEL >> 20} MiB); check what it is")
    return content


def _safe(model_hash: str) -> str:
    if not (model_hash.isalnum() and len(model_hash) <= 128):
        raise ModelError(f"{model_hash!r} is no hash of a model")
    return model_hash


def _put_in_place(fresh: Path, target: Path) -> None:
    """Rename a folder over another one, which is moved aside first."""
    aside = fresh.with_name(f"{fresh.name}-old")
    if target.exists():
        target.rename(aside)
    try:
        fresh.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return model_files(folder) == files
    except ModelError:
        return False

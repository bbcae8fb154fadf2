"""A model's folder holds a whole model or no card: it is made inside, and put into place with the card last.

Weights, graph, fitted scores and sample are written one after another, and between two of them a folder can
look like a model without being the one that was meant. So all of it is made in a folder of its own, which the
next attempt clears away should this one be cut off.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from fulgor.errors import DiskFullError, SettingsError, is_out_of_space
from fulgor.models.card import CARD
from fulgor.models.turns import alone

__all__ = ["UNFINISHED", "make_folder", "staged"]

UNFINISHED: Final = "unfinished"
"""Name of the folder, within that of the model, in which it is made."""


def make_folder(directory: Path) -> None:
    """Make a model's folder, so that one that cannot be written is told before hours are spent on the model.

    Raises
    ------
    SettingsError, DiskFullError
        It cannot be written.
    """
    with _write_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """Give an empty folder to make a model in; when it is left without an error, its files take their places.

    A model that is there already stays until then. Whoever is cut off while files take their places leaves a
    folder without a card, which is no model. Who comes while another process makes a model here waits for its end.

    Parameters
    ----------
    directory : Path
        Of the model; made where it is absent. What else lies in it, such as a checkpoint, stays.

    Raises
    ------
    SettingsError, DiskFullError
        A file cannot be written.
    """
    fresh = directory / UNFINISHED
    with _write_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with alone(directory / f"{UNFINISHED}.lock"):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            try:
                yield fresh
                _put_in_place(fresh, directory)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)


def _put_in_place(fresh: Path, directory: Path) -> None:
    (directory / CARD).unlink(missing_ok=True)
    files = sorted(fresh.iterdir(), key=lambda file: (file.name == CARD, file.name))
    for file in files:
        file.replace(directory / file.name)


@contextmanager
def _write_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:  # the latter has no number, only what the system said
        kind = DiskFullError if is_out_of_space(error) else SettingsError
        raise kind(f"{directory}: the model cannot be written: {getattr(error, 'strerror', None) or error}") from error

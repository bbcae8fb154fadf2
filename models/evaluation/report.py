"""Everything that was measured together, as Markdown: what a command prints and what docs/ruler.md holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fulgor.errors import ModelError
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.suite import NIGHT, ORIGIN, by_detections
from fulgor.models.evaluation.tables import (
    BOGUS_NOTE,
    confusion_table,
    detections_table,
    figures_table,
    gains_table,
    recall_table,
)

__all__ = ["AGAINST", "load_folder", "report"]

AGAINST: Final = ("metadata only", "metadata only, forest", "provenance only")
"""Rulers that a method must beat, paired."""


def load_folder(folder: Path) -> dict[str, Evaluation]:
    """Return the evaluations saved in a folder, by name.

    Raises
    ------
    ModelError
        There are none, or one is damaged.
    """
    found = [Evaluation.load(path) for path in sorted(folder.glob("*.npz"))]
    if not found:
        raise ModelError(f"{folder} holds no saved evaluation; run `fulgor evaluate` with --out {folder}")
    return {one.name: one for one in found}


def report(found: Mapping[str, Evaluation], names: Sequence[str]) -> str:
    """Return all tables.

    Parameters
    ----------
    found : mapping of str to Evaluation
        By name.
    names : sequence of str
        The methods in the order of the rows; the first is the one whose confusion is shown.
    """
    main = [found[name] for name in names]
    rulers = [found[name] for name in AGAINST if name in found]
    others = [one for one in main if one not in rulers]
    groups = [found[one] for name in names for what in (NIGHT, ORIGIN) if (one := f"{name}, {what}") in found]
    detections = {name: by_detections(found, name) for name in names}
    parts = [
        ("Figures", figures_table(main)),
        ("Gains", gains_table(others, rulers) if others and rulers else ""),
        ("Recall by class", recall_table(main)),
        (f"Confusion of {main[0].name}", confusion_table(main[0])),
        ("Nights and origins never seen in training", figures_table(groups) if groups else ""),
        ("Balanced accuracy by number of detections", detections_table(detections) if any(detections.values()) else ""),
    ]
    return "\n\n".join([*_sections(parts), BOGUS_NOTE])


def _sections(parts: Iterable[tuple[str, str]]) -> list[str]:
    return [f"### {head}\n\n{text}" for head, text in parts if text]

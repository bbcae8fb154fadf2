"""Which messages of an archive are wanted: by time, and by what is in them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fulgor.errors import MalformedError, SettingsError
from fulgor.preprocessing.records import ContainerReader
from fulgor.replay.archived import ArchivedMessage
from fulgor.replay.window import Window

__all__ = ["Condition", "Selection", "parse_condition"]

_CONDITION: Final = re.compile(r"\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(<=|>=|!=|=|<|>)\s*(\S.*?)\s*")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A field of a record against a constant, such as ``candidate.magpsf < 18``.

    Parameters
    ----------
    path : tuple of str
        Names from the record down.
    sign : str
        ``<``, ``<=``, ``>``, ``>=``, ``=`` or ``!=``.
    value : float or str
        What to compare with: a number where it reads as one.
    """

    path: tuple[str, ...]
    sign: str
    value: float | str

    def holds(self, record: Any) -> bool:
        """Say whether a decoded record meets it; a field that is absent or of another kind does not."""
        for name in self.path:
            record = record.get(name) if isinstance(record, dict) else None
        if isinstance(self.value, float):
            return isinstance(record, int | float) and _COMPARE[self.sign](record, self.value)
        return isinstance(record, str) and _COMPARE[self.sign](record, self.value)


def parse_condition(text: str) -> Condition:
    """Return the condition that a text states.

    Raises
    ------
    SettingsError
        It states none.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise SettingsError(
            f"--where {text!r}: write FIELD < VALUE with one of < <= > >= = !=, such as 'candidate.magpsf < 18'"
        )
    path, sign, value = match.groups()
    return Condition(tuple(path.split(".")), sign, _constant(value))


def _constant(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


class Selection:
    """Wanted messages.

    Parameters
    ----------
    window : Window, optional
        Where the original time has to lie; a message without a time lies in none.
    conditions : sequence of Condition
        What one record of the message has to meet, all of them. A message that cannot be decoded meets none.
    """

    def __init__(self, window: Window | None = None, conditions: Sequence[Condition] = ()) -> None:
        self.window = window
        self.conditions = tuple(conditions)
        self._read = ContainerReader(_projection(conditions))

    def __contains__(self, message: ArchivedMessage) -> bool:
        if self.window is not None and message.time_ms not in self.window:
            return False
        return not self.conditions or self._meets(message.value)

    def _meets(self, value: bytes) -> bool:
        try:
            records = self._read(value)
        except MalformedError:
            return False
        return any(all(condition.holds(record.values) for condition in self.conditions) for record in records)

    def __str__(self) -> str:
        parts = [] if self.window is None else [f"--window {self.window}"]
        parts += [f"--where '{'.'.join(each.path)} {each.sign} {each.value}'" for each in self.conditions]
        return " ".join(parts)


def _projection(conditions: Iterable[Condition]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for condition in conditions:
        inner = wanted
        for name in condition.path[:-1]:
            inner = inner.setdefault(name, {})
            if inner is None:
                raise SettingsError(f"--where {'.'.join(condition.path)}: another condition takes {name!r} as a value")
        inner[condition.path[-1]] = None
    return wanted

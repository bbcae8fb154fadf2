"""What a replay onto a topic has come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Lateness", "ProduceReport"]


class Lateness(NamedTuple):
    """Queued after the due time by so much: the middle of all messages, and 99 % of them at most; ms."""

    median_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ProduceReport:
    """What was done.

    Parameters
    ----------
    topic : str
        Where to.
    partitions : int
        Of that topic.
    sent, delivered : int
        Messages handed to the client, and acknowledged by the broker; unequal only after an
        interruption.
    bytes : int
        Of the values delivered.
    without_time : int
        Messages sent without the time header, since no time could be read from them.
    seconds : float
        From the first message to the last acknowledgement.
    others : mapping of str to int
        What in the archive is no message, by kind.
    problems : tuple of str
        Files that should be messages and cannot.
    interrupted : bool
        True after Ctrl-C.
    passed_over : int
        Messages outside of the window, or that do not meet the conditions.
    lateness : Lateness, optional
        How well the pace was kept; None flat out.
    """

    topic: str
    partitions: int
    sent: int = 0
    delivered: int = 0
    bytes: int = 0
    without_time: int = 0
    seconds: float = 0.0
    others: Mapping[str, int] | None = None
    problems: tuple[str, ...] = ()
    interrupted: bool = False
    passed_over: int = 0
    lateness: Lateness | None = None

    @property
    def rate(self) -> float:
        """Messages delivered per second."""
        return self.delivered / self.seconds if self.seconds else 0.0

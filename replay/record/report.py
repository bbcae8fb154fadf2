"""What a recorder is told, and what it tells in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from fulgor.replay.window import Window

__all__ = ["RecordOptions", "RecordReport"]


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """How to record.

    Parameters
    ----------
    group : str
        Consumer group, written into the files.
    start : str
        Where to begin with a partition: ``earliest``, ``latest`` or an ISO time. What the recording has already is
        passed over.
    window : Window, optional
        Keep only messages whose Kafka timestamp lies in it.
    roll_bytes : int
        Close a file of this size.
    roll_s : float
        Close a file this long after its first message: what a crash makes us read again.
    until_end : bool
        Stop when all partitions are read to their ends.
    """

    group: str
    start: str = "earliest"
    window: Window | None = None
    roll_bytes: int = 256 << 20
    roll_s: float = 300.0
    until_end: bool = False


@dataclass(slots=True)
class RecordReport:
    """What was done by this process.

    Parameters
    ----------
    messages, bytes : int
        Recorded, in whole files; sum of the values' sizes.
    files : int
        Whole files written.
    known, outside : int
        Messages passed over: those that the recording had already, and those outside of the window.
    lost : int
        Offsets that the broker had deleted before they were read.
    nights : set of str
        Of the files.
    seconds : float
        From the first message to the last file.
    """

    messages: int = 0
    bytes: int = 0
    files: int = 0
    known: int = 0
    outside: int = 0
    lost: int = 0
    nights: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds if self.seconds else 0.0

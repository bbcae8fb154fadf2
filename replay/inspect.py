"""What is in an archive: counted by decoding all of it, nothing guessed from names."""

from __future__ import annotations

import io
import re
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from fulgor.errors import ArchiveError, MalformedError
from fulgor.preprocessing.container import read_header
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder
from fulgor.replay.alerttime import jd_to_ms
from fulgor.replay.archive import Archive, ArchivedMessage, ArchiveIdentity

__all__ = ["Inspection", "Undecodable", "inspect_archive"]

BANDS: Final = {1: "g", 2: "r", 3: "i"}
REASONS_MAX: Final = 100
# Places and values differ from file to file, the reason does not: bytes as hex, and numbers.
VARYING: Final = re.compile(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{2}(?: [0-9a-f]{2})+\b|'[^']*'|\d+")


@dataclass(slots=True)
class Undecodable:
    """Messages or records that fail for one reason.

    Parameters
    ----------
    stage : str
        Where it was found: ``framing``, ``container``, ``schema``, ``record``.
    example : str
        Name of the first such message.
    reason : str
        What is wrong with that one, in full.
    count : int
        How many there are.
    """

    stage: str
    example: str
    reason: str
    count: int = 0


@dataclass(slots=True)
class Inspection:
    """What an archive holds.

    Parameters
    ----------
    identity : ArchiveIdentity
        Which archive.
    messages, bytes : int
        Messages and the sum of their sizes.
    records : int
        Records in the messages that could be opened.
    alerts : int
        Records that decode.
    repeated : int
        Alerts whose id came before.
    objects : int
        Distinct objects.
    jd_first, jd_last : float or None
        Julian dates of the earliest and latest alert.
    nights : mapping of str to int
        Alerts by UTC date, which is a night at Palomar.
    bands, programs, schema_versions : mapping of str to int
        Alerts by filter, programme and the version that they claim.
    schemas : int
        Distinct writer schemas; versions do not tell them apart.
    codecs : mapping of str to int
        Messages by compression of their container.
    size_median, size_max : int
        Bytes of a message.
    undecodable : list of Undecodable
        What does not decode, by reason, most frequent first.
    others : mapping of str to int
        What is no message, by kind.
    problems : tuple of str
        Files that should be messages and cannot.
    failure : str or None
        Why reading ended before the end: a cut or damaged tarball.
    """

    identity: ArchiveIdentity
    messages: int = 0
    bytes: int = 0
    records: int = 0
    alerts: int = 0
    repeated: int = 0
    objects: int = 0
    jd_first: float | None = None
    jd_last: float | None = None
    nights: Mapping[str, int] = field(default_factory=Counter)
    bands: Mapping[str, int] = field(default_factory=Counter)
    programs: Mapping[str, int] = field(default_factory=Counter)
    schema_versions: Mapping[str, int] = field(default_factory=Counter)
    schemas: int = 0
    codecs: Mapping[str, int] = field(default_factory=Counter)
    size_median: int = 0
    size_max: int = 0
    undecodable: list[Undecodable] = field(default_factory=list)
    others: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    failure: str | None = None


def inspect_archive(archive: Archive, on_progress: Callable[[int], None] | None = None) -> Inspection:
    """Decode every message of an archive and count.

    Parameters
    ----------
    archive : Archive
        What to read.
    on_progress : callable, optional
        Called with the number of messages after each.

    Raises
    ------
    ArchiveError
        The archive holds no message at all, or a file cannot be read.
    """
    counting = _Counting()
    failure = None
    try:
        for message in archive:
            counting.add(message)
            if on_progress is not None:
                on_progress(len(counting.sizes))
    except ArchiveError as error:
        if not counting.sizes:
            raise
        failure = str(error)
    return counting.result(archive, failure)


class _Counting:
    """Running counts; distinct ids and names are held, nothing else grows with the archive."""

    def __init__(self) -> None:
        self.sizes = array("q")
        self._decode = ZtfDecoder()
        self._records = 0
        self._alerts = 0
        self._candids: set[int] = set()
        self._objects: set[str] = set()
        self._schemas: set[int] = set()
        self._jds = (float("inf"), float("-inf"))
        self._nights: Counter[str] = Counter()
        self._bands: Counter[str] = Counter()
        self._programs: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._codecs: Counter[str] = Counter()
        self._undecodable: dict[tuple[str, str], Undecodable] = {}

    def add(self, message: ArchivedMessage) -> None:
        """Count a message and its records."""
        self.sizes.append(len(message.value))
        self._codecs[self._codec(message.value)] += 1
        try:
            found = self._decode(message.value)
        except MalformedError as error:
            self._fail(message.name, error)
            return
        self._records += len(found)
        for alert in found:
            if isinstance(alert, MalformedError):
                self._fail(message.name, alert)
            else:
                self._count(alert)

    def _codec(self, value: bytes) -> str:
        try:
            header = read_header(io.BytesIO(value))
        except MalformedError:
            return "no container"
        self._schemas.add(hash(header.schema))
        return header.codec

    def _count(self, alert: ZtfAlert) -> None:
        self._alerts += 1
        self._candids.add(alert.candid)
        self._objects.add(alert.object_id)
        self._jds = (min(self._jds[0], alert.jd), max(self._jds[1], alert.jd))
        self._nights[_night(alert.jd)] += 1
        self._bands[BANDS.get(alert.fid, str(alert.fid))] += 1
        self._programs[str(alert.programid)] += 1
        self._versions[alert.schemavsn or "none"] += 1

    def _fail(self, name: str, error: MalformedError) -> None:
        key = (error.stage, VARYING.sub("#", error.reason))
        if key not in self._undecodable and len(self._undecodable) >= REASONS_MAX:
            key = ("any", "further reasons")
        known = self._undecodable.setdefault(key, Undecodable(error.stage, name, error.reason))
        known.count += 1

    def result(self, archive: Archive, failure: str | None) -> Inspection:
        """Return the counts."""
        return Inspection(
            identity=archive.identity,
            messages=len(self.sizes),
            bytes=sum(self.sizes),
            records=self._records,
            alerts=self._alerts,
            repeated=self._alerts - len(self._candids),
            objects=len(self._objects),
            jd_first=self._jds[0] if self._alerts else None,
            jd_last=self._jds[1] if self._alerts else None,
            nights=dict(sorted(self._nights.items())),
            bands=dict(sorted(self._bands.items())),
            programs=dict(sorted(self._programs.items())),
            schema_versions=dict(sorted(self._versions.items())),
            schemas=len(self._schemas),
            codecs=dict(sorted(self._codecs.items())),
            size_median=int(statistics.median(self.sizes)),
            size_max=max(self.sizes),
            undecodable=sorted(self._undecodable.values(), key=lambda known: -known.count),
            others=dict(sorted(archive.others.items())),
            problems=tuple(archive.problems),
            failure=failure,
        )


def _night(jd: float) -> str:
    time_ms = jd_to_ms(jd)
    return "impossible" if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()

"""Labelled alerts of an archive: what models are measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from fulgor.errors import ArchiveError, MalformedError
from fulgor.models.evaluation.alerts import LabelledAlert
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder
from fulgor.replay.archive import open_archive
from fulgor.replay.archived import require_whole
from fulgor.replay.labels import label_rows, table_beside

__all__ = ["labelled_alerts"]

_decode = ZtfDecoder()


def labelled_alerts(
    archive: Path,
    table: Path | None = None,
    *,
    left_out: Counter[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[LabelledAlert]:
    """Yield every alert of an archive that a table names, once.

    Parameters
    ----------
    archive : Path
        File, folder or tarball.
    table : Path, optional
        CSV file; by default the one in the archive's folder. A row without a label gives an
        unlabelled alert. An alert's origin is the table's, else the folder or file it lies in.
    left_out : Counter, optional
        Counts, by reason, what is not yielded: ``malformed``, ``repeated`` or ``not in the table``; and at the end the
        rows of the table whose alerts are ``not in the archive``.
    progress : callable, optional
        Told of messages read, and of how many there are where that is known.

    Raises
    ------
    ArchiveError
        The archive cannot be read, in part or as a whole, or holds none of the table's alerts.
    SettingsError
        The table cannot be read, or gives an alert two labels.
    """
    opened, seen = open_archive(archive), set[str]()
    rows = label_rows(table or table_beside(archive))
    counts: Counter[str] = Counter() if left_out is None else left_out
    for done, message in enumerate(opened, 1):
        for alert in _decoded(message.value, counts):
            if (candid := str(alert.candid)) in seen:
                counts["repeated"] += 1
            elif (row := rows.get(candid)) is None:
                counts["not in the table"] += 1
            else:
                seen.add(candid)
                yield LabelledAlert(alert, row.label, row.origin or _place(message.name))
        if progress is not None:
            progress(done, opened.count)
    require_whole(opened.problems)
    if absent := len(rows) - len(seen):
        counts["not in the archive"] = absent
    if not seen:
        raise ArchiveError(f"{archive} holds none of the {len(rows)} alerts that the table names; check --labels")


def _decoded(value: bytes, counts: Counter[str]) -> Iterator[ZtfAlert]:
    """Yield the alerts of a message; what cannot be decoded is counted."""
    try:
        records = _decode(value)
    except MalformedError:
        counts["malformed"] += 1
        return
    for record in records:
        if isinstance(record, MalformedError):
            counts["malformed"] += 1
        else:
            yield record


def _place(name: str) -> str:
    """Return the folder of a message within its archive, or the file where there is none."""
    path = PurePosixPath(name.partition("#")[0])
    return path.parent.as_posix() if path.parent.name else path.name

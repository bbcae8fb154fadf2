"""Single rows of files of messages, in any order: row groups are read whole and the last used kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fulgor.errors import ArchiveError
from fulgor.replay.record.layout import MESSAGES, open_parquet

__all__ = ["RowGroups"]

CACHE_BYTES: Final = 256 << 20
OPEN_FILES: Final = 32
Rows = list[dict[str, Any]]


class RowGroups:
    """Row groups of several files.

    Parameters
    ----------
    files : sequence of Path
        Files of messages; they are named by their place in it.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._opened: OrderedDict[int, tuple[Any, NDArray[np.int64]]] = OrderedDict()
        self._kept: OrderedDict[tuple[int, int], Rows] = OrderedDict()
        self._bytes = 0

    def row(self, number: int, row: int) -> dict[str, Any]:
        """Return a row of a file by its columns; the timestamp as Unix ms.

        Raises
        ------
        ArchiveError
            The row group is damaged.
        """
        opened, starts = self._open(number)
        group = int(np.searchsorted(starts, row, "right")) - 1
        key = (number, group)
        if key not in self._kept:
            self._keep(key, self._read(number, opened, group))
        self._kept.move_to_end(key)
        return self._kept[key][row - int(starts[group])]

    def _open(self, number: int) -> tuple[Any, NDArray[np.int64]]:
        if number not in self._opened:
            opened = open_parquet(self._files[number])
            lengths = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
            self._opened[number] = opened, np.cumsum([0, *lengths[:-1]])
            if len(self._opened) > OPEN_FILES:
                self._opened.popitem(last=False)[1][0].close()
        self._opened.move_to_end(number)
        return self._opened[number]

    def _read(self, number: int, opened: Any, group: int) -> Rows:
        try:
            table = opened.read_row_group(group, use_threads=False)
            # As numbers: a Kafka timestamp may be no date that Python knows.
            times = table["timestamp"].cast(pa.int64())
            rows: Rows = table.set_column(MESSAGES.get_field_index("timestamp"), "timestamp", times).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise ArchiveError(f"{self._files[number]}: row group {group} is damaged: {error}") from error
        return rows

    def _keep(self, key: tuple[int, int], rows: Rows) -> None:
        self._kept[key] = rows
        self._bytes += _size(rows)
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _size(dropped)


def _size(rows: Rows) -> int:
    return sum(len(row["value"] or b"") for row in rows)

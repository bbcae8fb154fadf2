"""The description of a stream's own table, from which migrations and the writer are composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Column", "StreamTable"]


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column of a stream's table.

    Parameters
    ----------
    name : str
        Column name.
    type : str
        Postgres type: ``int2``, ``int4``, ``int8``, ``float4``, ``float8``, ``text``, ``bool``, ``bytea``.
    comment : str
        What it is and in which unit; becomes the column's COMMENT.
    of : {'both', 'rows', 'items'}
        Whose it is, where the stream has items: which of the two views show it.
    """

    name: str
    type: str
    comment: str
    of: Literal["both", "rows", "items"] = "both"


@dataclass(frozen=True, slots=True)
class StreamTable:
    """A stream's own table.

    Parameters
    ----------
    stream : str
        Name of the stream; the table is ``<stream>_alert``, the view ``<stream>_<rows>``.
    rows : str
        What the rows are called in the view's name: ``alerts``, ``chunks``.
    columns : tuple of Column
        The stream's own columns beside the shared ones.
    version : int
        Migration version of this stream.
    items : str or None
        What a record's items are called, where they have rows of their own beside the record's: item 0 is
        then the record itself (a chunk), the others (its pulses) show in the view ``<stream>_<items>``.
    """

    stream: str
    rows: str
    columns: tuple[Column, ...]
    version: int = 1
    items: str | None = None

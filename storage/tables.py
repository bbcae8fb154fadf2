"""The description of a stream's own table, from which migrations and the writer are composed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Column", "StreamTable"]


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column of a stream's table.

    Parameters
    ----------
    name : str
        Column name.
    type : str
        Postgres type: ``int2``, ``int4``, ``int8``, ``float4``, ``float8``, ``text``, ``bool``.
    comment : str
        What it is and in which unit; becomes the column's COMMENT.
    """

    name: str
    type: str
    comment: str


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
    """

    stream: str
    rows: str
    columns: tuple[Column, ...]
    version: int = 1

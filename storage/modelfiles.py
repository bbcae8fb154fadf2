"""The files of registered models, kept in the database: running consumers on any machine load them from here."""

from __future__ import annotations

from collections.abc import Mapping

from fulgor.errors import ModelError
from fulgor.models.store import LARGEST_MODEL
from fulgor.storage.database import Connection

__all__ = ["has_files", "read_files", "write_files"]


def has_files(connection: Connection, model_id: int) -> bool:
    """Tell whether a model's files are in the database."""
    return (
        connection.execute("SELECT 1 FROM fulgor.model_file WHERE model_id = %s LIMIT 1", [model_id]).fetchone()
        is not None
    )


def read_files(connection: Connection, model_id: int) -> dict[str, bytes]:
    """Return a model's files by name; none if they were never added.

    Raises
    ------
    ModelError
        They are larger than any model.
    """
    row = connection.execute(
        "SELECT coalesce(sum(octet_length(content)), 0) FROM fulgor.model_file WHERE model_id = %s", [model_id]
    ).fetchone()
    if row is not None and int(str(row[0])) > LARGEST_MODEL:
        raise ModelError(f"the files of model {model_id} have {row[0]} bytes, more than any model of ours")
    rows = connection.execute("SELECT name, content FROM fulgor.model_file WHERE model_id = %s", [model_id]).fetchall()
    return {str(name): bytes(content) for name, content in rows if isinstance(content, bytes)}


def write_files(connection: Connection, model_id: int, files: Mapping[str, bytes]) -> None:
    """Put a model's files into the database, in the place of earlier ones.

    Raises
    ------
    ModelError
        They are too large for it.
    """
    if (size := sum(map(len, files.values()))) > LARGEST_MODEL:
        raise ModelError(f"the model has {size} bytes, the database takes {LARGEST_MODEL} at most")
    with connection.transaction():
        connection.execute("DELETE FROM fulgor.model_file WHERE model_id = %s", [model_id])
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO fulgor.model_file (model_id, name, content) VALUES (%s, %s, %s)",
                [(model_id, name, content) for name, content in files.items()],
            )

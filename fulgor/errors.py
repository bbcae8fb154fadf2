"""The errors of Fulgor, drawn once.

Every layer may import this module; it imports nothing of ours. Whatever a user can cause is a
:class:`FulgorError` with a message that says what was wrong, where, and what to do; the command
line prints the message and leaves with the class's exit code. Anything else is a bug and keeps its
traceback.

::

    FulgorError                      1
    ├── SettingsError                2   a flag, environment variable or config file is wrong
    ├── BrokerError                  3   the Kafka broker cannot be reached or refuses us
    │   └── TopicError               4   no such topic, or a pattern that can match nothing
    ├── DatabaseError                5   Postgres cannot be reached or refuses us
    │   └── SchemaVersionError       6   tables missing, older or newer than this program knows
    ├── ModelError                   7   a model file is missing, damaged or of another stream
    ├── DeviceError                  8   the asked-for device is absent
    ├── ArchiveError                 9   an archive cannot be read, or holds no alerts
    ├── LedgerError                 10   the ledger does not close
    ├── DiskFullError               11   no space left for the database or an output file
    ├── EmbeddedServiceError        12   the embedded broker or Postgres does not start
    ├── OffsetError                 13   no such stored offset, or it cannot be moved there
    └── MalformedError                   a message or record that no retry can mend: a dead letter
        └── NotThisStreamError           well-formed, but not of this survey's shape

A command that a signal stopped before its work was done leaves with :data:`INTERRUPTED`.
"""

from __future__ import annotations

import errno
import os
from typing import Final

__all__ = [
    "INTERRUPTED",
    "ArchiveError",
    "BrokerError",
    "DatabaseError",
    "DeviceError",
    "DiskFullError",
    "EmbeddedServiceError",
    "FulgorError",
    "LedgerError",
    "MalformedError",
    "ModelError",
    "NotThisStreamError",
    "OffsetError",
    "SchemaVersionError",
    "SettingsError",
    "TopicError",
    "is_out_of_space",
]

INTERRUPTED: Final = 130
"""Exit code of a process that a signal stopped before its work was done, as a shell gives it after Ctrl-C."""

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FulgorError(Exception):
    """Base of every error that a user, a message or a service can cause."""

    exit_code = 1


class SettingsError(FulgorError):
    """A flag, an environment variable or the config file holds a value that cannot be used."""

    exit_code = 2


class BrokerError(FulgorError):
    """The Kafka broker cannot be reached or refuses us."""

    exit_code = 3


class TopicError(BrokerError):
    """The topic does not exist, or the pattern can match nothing."""

    exit_code = 4


class DatabaseError(FulgorError):
    """Postgres cannot be reached or refuses us."""

    exit_code = 5


class SchemaVersionError(DatabaseError):
    """The tables are missing, or older or newer than this program knows."""

    exit_code = 6


class ModelError(FulgorError):
    """A model file is missing, damaged, or belongs to another stream or preparation."""

    exit_code = 7


class DeviceError(FulgorError):
    """The asked-for device is absent."""

    exit_code = 8


class ArchiveError(FulgorError):
    """An archive cannot be read, or holds nothing that we know."""

    exit_code = 9


class LedgerError(FulgorError):
    """The ledger does not close: a message is not accounted for, or is counted twice."""

    exit_code = 10


class DiskFullError(FulgorError):
    """There is no space left for the database or for an output file."""

    exit_code = 11


class EmbeddedServiceError(FulgorError):
    """The embedded broker or Postgres is not installed or does not start."""

    exit_code = 12


class OffsetError(FulgorError):
    """There is no stored offset of this group, topic and partition, or it cannot be moved to where it was told to."""

    exit_code = 13


class MalformedError(FulgorError):
    """A message, or one record of it, that no retry can mend: it becomes a dead letter.

    Parameters
    ----------
    reason : str
        What is wrong, precise enough to act on.
    stage : str
        Where it was found: ``framing``, ``container``, ``schema``, ``record``, ``prepare``.
    """

    def __init__(self, reason: str, *, stage: str = "record") -> None:
        super().__init__(reason)
        self.reason = reason
        self.stage = stage


class NotThisStreamError(MalformedError):
    """A well-formed message of another survey or shape, such as an LSST alert on a ZTF topic."""


def is_out_of_space(error: Exception) -> bool:
    """Say whether an error tells that the disk is full, or that no more may be written: a quota, a limit of file size.

    Libraries that write by themselves hand on the system's words only; those are looked for where there is no number.
    """
    number = getattr(error, "errno", None)
    return number in _NO_SPACE or (number is None and any(os.strerror(each) in str(error) for each in _NO_SPACE))

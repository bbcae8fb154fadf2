"""The console script ``fulgor``: parse, call, report. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fulgor.errors import INTERRUPTED, FulgorError

try:
    from fulgor.cli.app import app
except KeyboardInterrupt:  # the first third of a second is a Ctrl-C's, too
    sys.exit(INTERRUPTED)

__all__ = ["app", "main", "reported"]


def main() -> None:
    """Run the command line."""
    with reported():
        app()


@contextmanager
def reported() -> Iterator[None]:
    """End a user's mistake with its message and exit code, and a Ctrl-C with 130, no traceback."""
    try:
        yield
    except KeyboardInterrupt:  # the library's own handling begins only when it has built its tree of commands
        sys.exit(INTERRUPTED)
    except FulgorError as error:
        print(f"fulgor: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

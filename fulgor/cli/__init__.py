"""The console script ``fulgor``: parse, call, report. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys

from fulgor.cli.app import app
from fulgor.errors import FulgorError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a user's mistake ends with its message and exit code, no traceback."""
    try:
        app()
    except FulgorError as error:
        print(f"fulgor: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

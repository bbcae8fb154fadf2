"""Log lines of the long-running commands: one line each, time, level, name, message, on stderr."""

from __future__ import annotations

import logging

__all__ = ["set_up_logging"]


def set_up_logging(*, verbose: bool = False) -> None:
    """Send the product's log to stderr; other packages only from warnings on."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("fulgor").setLevel(logging.DEBUG if verbose else logging.INFO)

"""``fulgor doctor``: everything that a consumer needs, looked at without consuming."""

from __future__ import annotations

from fulgor.doctor.check import Check, Level
from fulgor.doctor.run import Request, run

__all__ = ["Check", "Level", "Request", "run"]

"""Which night comes next: each run of the demo simulates the one after the last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fulgor.storage.database import connect, translated

__all__ = ["GROUP_PREFIX", "Night", "next_night"]

GROUP_PREFIX = "fulgor-demo-"
_FIRST_DATE = date(2026, 3, 1)
_UNIX_EPOCH_JD = 2440587.5
# Far from the seeds that models are trained with: what the demo shows, no model has seen.
_FIRST_SEED = 7_000_000
_SEEDS_A_NIGHT = 1_000


@dataclass(frozen=True, slots=True)
class Night:
    """A night to simulate.

    Parameters
    ----------
    number : int
        From 1.
    """

    number: int

    @property
    def date(self) -> date:
        """Its date, UTC."""
        return _FIRST_DATE + timedelta(days=self.number - 1)

    @property
    def start_jd(self) -> float:
        """Julian date of the date's midnight: Palomar's night begins three hours later."""
        midnight = datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC)
        return midnight.timestamp() / 86_400 + _UNIX_EPOCH_JD

    @property
    def seeds(self) -> range:
        """Seeds of its own."""
        first = _FIRST_SEED + (self.number - 1) * _SEEDS_A_NIGHT
        return range(first, first + _SEEDS_A_NIGHT)

    @property
    def topic(self) -> str:
        """Topic named as ZTF names its nights."""
        return f"ztf_{self.date:%Y%m%d}_programid1"

    @property
    def group(self) -> str:
        """Consumer group of the run."""
        return f"{GROUP_PREFIX}{self.number:04d}"


def next_night(database: str) -> Night:
    """Return the night after the last that a demo consumed into this database.

    Parameters
    ----------
    database : str
        URL of a migrated database.
    """
    with translated(database), connect(database) as connection:
        row = connection.execute(
            "SELECT max(substr(group_name, %s)::integer) FROM fulgor.feed WHERE group_name ~ %s",
            [len(GROUP_PREFIX) + 1, f"^{GROUP_PREFIX}[0-9]{{1,6}}$"],
        ).fetchone()
    return Night(int(str(row[0])) + 1 if row and row[0] is not None else 1)

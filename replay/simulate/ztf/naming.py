"""How ZTF numbers and names things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from fulgor.replay.simulate.ztf.cadence import BANDS

__all__ = [
    "candid",
    "cutout_names",
    "difference_file",
    "night_id",
    "object_id",
    "process_id",
    "reference_id",
    "unix_time",
]

_FIRST_NIGHT = 2_457_754.5  # nights are counted from 2017-01-01, JD
_UNIX_EPOCH = 2_440_587.5  # JD
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def night_id(jd: float) -> int:
    """Return the number of the night."""
    return int(np.floor(jd - _FIRST_NIGHT))


def process_id(jd: float, rcid: int) -> int:
    """Return the pid: night, hundred-thousandths of it, readout channel and the two digits that always read 15."""
    return int(np.floor((jd - _FIRST_NIGHT) * 1e5)) * 10_000 + rcid * 100 + 15


def candid(pid: int, positive: bool, number: int) -> int:
    """Return the alert's id: the pid, 15 or 10 for the sign, and the number within the image."""
    return pid * 1_000_000 + (15_000 if positive else 10_000) + number


def reference_id(field: int, fid: int, rcid: int) -> int:
    """Return the id of the template."""
    return field * 1_000_000 + 120_000 + fid * 100 + rcid


def object_id(first_jd: float, serial: int) -> str:
    """Return a name such as ZTF24abcdefg; different serials give different names."""
    year = _day(first_jd).year % 100
    # A step that shares no factor with the number of names scatters them without a collision.
    left = (serial * 1_234_567_891 + 987_654_321) % 26**7
    letters = []
    for _ in range(7):
        left, letter = divmod(left, 26)
        letters.append(_LETTERS[letter])
    return f"ZTF{year:02d}{''.join(letters)}"


def unix_time(jd: float) -> float:
    """Return seconds since 1970."""
    return (jd - _UNIX_EPOCH) * 86_400.0


def _day(jd: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix_time(jd))


def difference_file(jd: float, field: int, rcid: int, fid: int, *, archived: bool) -> str:
    """Return the name of the difference image; rows of the history give its place in the archive."""
    day = _day(jd)
    fraction = int((jd - 0.5) % 1.0 * 1e6)
    channel = f"c{rcid // 4 + 1:02d}_o_q{rcid % 4 + 1}"
    name = f"ztf_{day:%Y%m%d}{fraction:06d}_{field:06d}_z{BANDS[fid]}_{channel}_scimrefdiffimg.fits"
    return f"/ztf/archive/sci/{day:%Y}/{day:%m%d}/{fraction:06d}/{name}.fz" if archived else name


def cutout_names(candidate: int, pid: int, positive: bool) -> tuple[str, str, str]:
    """Return the file names of the science, template and difference stamps."""
    order = "scimref" if positive else "refmsci"
    return (
        f"candid{candidate}_pid{pid}_targ_sci.fits.gz",
        f"candid{candidate}_ref.fits.gz",
        f"candid{candidate}_pid{pid}_targ_{order}.fits.gz",
    )

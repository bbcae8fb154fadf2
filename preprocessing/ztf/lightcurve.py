"""The light curve that an alert carries, as a sequence of its last steps.

Earlier detections and limits come from ``prv_candidates``. Entries later than the alert are left out
(9 % of real alerts have some: they would leak the future), several entries of one exposure count
once, and the last step is always the alert itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.preprocessing.ztf.alert import ZtfAlert, sign_of
from fulgor.preprocessing.ztf.flags import ZtfFlag

__all__ = ["SEQUENCE_COLUMNS", "LightCurve", "light_curve"]

#: Columns of the sequence, see `light_curve`.
SEQUENCE_COLUMNS = (
    "log_days_before", "log_days_since_previous", "is_g", "is_r", "magnitude", "log_error", "is_detection", "sign",
)  # fmt: skip

MAGNITUDE_CENTRE = 19.0
MAGNITUDE_SCALE = 2.0
LEAST_ERROR = 0.01
MAX_ERROR = 10.0
UNKNOWN_ERROR = 1.0
#: Real PSF magnitudes and limits lie between 9 and 23; beyond this range a value is no magnitude.
MAGNITUDE_RANGE = (0.0, 40.0)
#: ZTF began in 2017; longer times come from impossible dates.
MAX_DAYS = 1e5


@dataclass(frozen=True, slots=True)
class LightCurve:
    """A light curve as the model takes it.

    Parameters
    ----------
    sequence : ndarray of float32, shape (L, 8)
        The steps, oldest first, the alert last; unused steps at the front are zeros.
    mask : ndarray of float32, shape (L,)
        1 for a step, 0 for an unused one.
    flags : ZtfFlag
        What is odd about the history.
    times : ndarray of float64, shape (L,)
        Julian date of each step as the packet has it, by which an earlier alert of the object is known; NaN for an
        unused one. No model sees it.
    """

    sequence: NDArray[np.float32]
    mask: NDArray[np.float32]
    flags: ZtfFlag
    times: NDArray[np.float64]


class _Step(NamedTuple):
    """One detection or limit; the fields are those of HISTORY_DTYPE."""

    jd: float
    fid: int
    magnitude: float
    error: float
    limit: float
    sign: int

    @property
    def is_detection(self) -> bool:
        return _is_magnitude(self.magnitude)

    @property
    def rank(self) -> tuple[bool, float, float, float]:
        """What decides among entries of one exposure: detections first, then the smaller error."""
        error, magnitude, limit = (math.inf if math.isnan(x) else x for x in (self.error, self.magnitude, self.limit))
        return not self.is_detection, error, magnitude, limit


def _is_magnitude(value: float) -> bool:
    return MAGNITUDE_RANGE[0] < value < MAGNITUDE_RANGE[1]  # false for NaN


def _past(history: NDArray[np.void], jd: float) -> tuple[list[_Step], ZtfFlag]:
    """Return the earlier entries with a magnitude or a limit, by time, one for each exposure."""
    flags = ZtfFlag(0)
    best: dict[tuple[float, int], _Step] = {}
    for step in map(_Step._make, history.tolist()):
        if step.jd > jd:
            flags |= ZtfFlag.FUTURE_HISTORY
        if not step.jd <= jd or not (_is_magnitude(step.magnitude) or _is_magnitude(step.limit)):
            continue
        exposure = (step.jd, step.fid)
        if step.jd == jd or exposure in best:  # an entry of the alert's own exposure repeats the alert
            flags |= ZtfFlag.DUPLICATE_HISTORY
        if step.jd < jd and (exposure not in best or step.rank < best[exposure].rank):
            best[exposure] = step
    return [best[exposure] for exposure in sorted(best)], flags


def _own_step(alert: ZtfAlert) -> _Step:
    magnitude, error, limit = (
        math.nan if alert.candidate.get(name) is None else alert.candidate[name]
        for name in ("magpsf", "sigmapsf", "diffmaglim")
    )
    return _Step(alert.jd, alert.fid, magnitude, error, limit, sign_of(alert.candidate.get("isdiffpos")))


def _row(step: _Step, previous: float, jd: float) -> tuple[float, ...]:
    """Return the columns of a step; `previous` is the time of the step before."""
    detected = step.is_detection
    brightness = step.magnitude if detected else step.limit
    error = min(max(step.error, LEAST_ERROR), MAX_ERROR) if step.error >= 0 else UNKNOWN_ERROR
    return (
        math.log1p(min(jd - step.jd, MAX_DAYS)),
        math.log1p(min(step.jd - previous, MAX_DAYS)),
        step.fid == 1,
        step.fid == 2,
        (brightness - MAGNITUDE_CENTRE) / MAGNITUDE_SCALE if _is_magnitude(brightness) else 0.0,
        math.log(error) / 2 if detected else 0.0,
        detected,
        step.sign if detected else 0,
    )


def light_curve(alert: ZtfAlert, length: int) -> LightCurve:
    """Return the last steps of an alert's light curve.

    Parameters
    ----------
    alert : ZtfAlert
        The alert.
    length : int
        L, the number of steps of the sequence.

    Returns
    -------
    LightCurve
        Columns: log(1 + days before the alert); log(1 + days since the step before), 0 for the
        oldest kept; whether the filter is g; whether it is r (neither: i); (magnitude - 19) / 2, of
        the detection or else the 5-sigma limit; log(error) / 2 with the error within 0.01..10 mag
        (1 where it is unknown), 0 for limits; 1 for a detection, 0 for a limit; 1 for a positive
        difference, -1 for a negative one, 0 for limits.
    """
    past, flags = _past(alert.history, alert.jd)
    if not past:
        flags |= ZtfFlag.NO_HISTORY
    elif not any(step.is_detection for step in past):
        flags |= ZtfFlag.ONLY_LIMITS
    if len(past) >= length:
        flags |= ZtfFlag.HISTORY_CUT
    own = _own_step(alert)
    if not (own.is_detection and own.error > 0):
        flags |= ZtfFlag.BAD_PHOTOMETRY
    steps = [*past, own][-length:]
    times = [steps[0].jd, *(step.jd for step in steps)]
    sequence = np.zeros((length, len(SEQUENCE_COLUMNS)), np.float32)
    sequence[length - len(steps) :] = [_row(step, before, alert.jd) for step, before in zip(steps, times, strict=False)]
    mask = np.zeros(length, np.float32)
    mask[length - len(steps) :] = 1
    when = np.full(length, np.nan)
    when[length - len(steps) :] = times[1:]
    return LightCurve(sequence, mask, flags, when)

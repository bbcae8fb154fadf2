"""Many fits at once: the places and times at which the loss of arrival times is least.

Each fit has three unknowns and some ten residuals, far too little to keep a processor busy by itself, so
all that are asked for take their steps together. Least squares with a soft loss (soft L1 in units of each
arrival's own standard deviation), so that one skywave or slipped cycle does not carry a stroke away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.arrivals import Arrivals, Minima
from fulgor.models.location.model import Propagation
from fulgor.preprocessing.leela.geodesy import Stations, View, km_a_degree

__all__ = ["Fits"]

_FARTHEST_KM = 3_000.0  # from the start: beyond, the fit has run away
_SPEED_STEP = 1e-3
_HIGHEST_DEG = 89.9
_STEEPEST_DEG = 87.0  # beyond, a degree of longitude is no measure any more

# A step that moves nothing by more than this (km, microseconds, parts per thousand) is the last one; so is one
# that lessens the loss by no more than this part of it. Where only the right pulses are to be told from wrong
# ones, less will do: what fits badly takes most steps, and an exact fit has next to no loss left.
_SMALL_STEP, _SMALL_GAIN = 1e-3, 1e-8
_ROUGH_GAIN, _NEXT_TO_NONE = 1e-4, 1e-4
_MOST_STEPS, _ROUGH_STEPS = 40, 16
_DAMPING, _MOST_DAMPING, _MORE = 1e-3, 1e6, 4.0
# Squared residual from which on an arrival's own curvature is not followed: the soft loss has next to none there.
_OUTLYING = 4.0

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]


class _State(NamedTuple):
    """Fits on their way; a row a fit that has not ended."""

    rows: Places
    x: Floats
    residuals: Floats
    slopes: Floats
    loss: Floats
    damping: Floats
    more: Floats
    steps: Places

    def some(self, rows: Bools) -> _State:
        return _State._make(each[rows] for each in self)


class Fits:
    """Fits of one kind of wave; unknowns are km east and north of the start, microseconds, parts per thousand.

    Parameters
    ----------
    stations : Stations
        The receivers.
    propagation : Propagation
        Speed and uncertainty.
    arrivals : Arrivals
        What is fitted.
    free_speed : bool
        Fit the speed too.
    soft : bool
        Soft L1, not plain squares.
    rough : bool
        As good as is needed to tell which pulses belong, not as good as can be.
    """

    def __init__(
        self,
        stations: Stations,
        propagation: Propagation,
        arrivals: Arrivals,
        *,
        free_speed: bool = False,
        soft: bool = True,
        rough: bool = False,
    ) -> None:
        self._stations, self._propagation, self._arrivals = stations, propagation, arrivals
        self._free, self._soft, self._rough = free_speed, soft, rough
        self._most = _ROUGH_STEPS if rough else _MOST_STEPS
        self._km = np.stack(km_a_degree(np.clip(arrivals.lat, -_STEEPEST_DEG, _STEEPEST_DEG)), axis=1)
        self._first = stations.seen_from(arrivals.lat, arrivals.lon)
        distance = self._first.distance_m
        # Of the start: the uncertainty changes too little on the way to the answer to be one of its unknowns.
        self._sigma = propagation.sigma_us(distance)
        there = ~np.isnan(arrivals.times_us)
        self._weight = np.where(there, 1 / self._sigma, 0.0)
        self._origin = _median(arrivals.times_us - propagation.travel_us(distance), there.sum(axis=1))
        self._times = np.where(there, arrivals.times_us, 0.0) - self._origin[:, None]

    def minima(self) -> Minima:
        """Return where the losses are least, as far as steps down from the starts lead."""
        state = self._start()
        ends = state.x.copy()
        while len(state.rows):
            state, ended = self._stepped(state)
            if ended.any():
                ends[state.rows[ended]] = state.x[ended]
                state = state.some(~ended)
        return self._found(ends)

    def _start(self) -> _State:
        count = len(self._times)
        rows, x = np.arange(count), np.zeros((count, 4 if self._free else 3))
        more, steps = np.full(count, _MORE), np.zeros(count, np.intp)
        return _State(
            rows, x, *self._weighed(self._first, self._arrivals.lat, x, rows), np.full(count, _DAMPING), more, steps
        )

    def _stepped(self, state: _State) -> tuple[_State, Bools]:
        """Return what a step led to, and which fits it was the last one of.

        Damped after Nielsen (1999): by how much a step gained of what it promised.
        """
        downhill, normal = self._normal(state.residuals, state.slopes)
        diagonal = normal.reshape(len(downhill), -1)[:, :: downhill.shape[1] + 1]  # a view
        held = state.damping[:, None] * (diagonal + 1e-12)
        diagonal += held
        step = np.linalg.solve(normal, downhill[..., None])[..., 0]
        promised = 0.5 * np.sum(step * (held * step + downhill), axis=1)
        is_small = np.abs(step).max(axis=1) < _SMALL_STEP
        over = is_small | (promised <= self._small_gain(state.loss))
        last = state.x + step * is_small[:, None]
        if over.all():
            return state._replace(x=last), over
        there = state.x + step
        residuals, slopes, loss = self._look(there, state.rows)
        better = loss <= state.loss
        share = np.minimum((state.loss - loss) / np.maximum(promised, 1e-300), 1.0)
        damping = state.damping * np.where(better, np.maximum(1 / 3, 1 - (2 * share - 1) ** 3), state.more)
        x = np.where(better[:, None], there, state.x)
        after = state._replace(
            x=np.where(over[:, None], last, x),
            residuals=np.where(better[:, None], residuals, state.residuals),
            slopes=np.where(better[:, None, None], slopes, state.slopes),
            loss=np.where(better, loss, state.loss),
            damping=damping,
            more=np.where(better, _MORE, 2 * state.more),
            steps=state.steps + 1,
        )
        ended = over | (after.steps == self._most) | (damping > _MOST_DAMPING) | _is_far(after.x)
        return after, ended

    def _small_gain(self, loss: Floats) -> Floats:
        return _ROUGH_GAIN * (loss + _NEXT_TO_NONE) if self._rough else _SMALL_GAIN * loss

    def _look(self, x: Floats, rows: Places) -> tuple[Floats, Floats, Floats]:
        """Return residuals, their derivatives by the unknowns, and the loss."""
        lat, lon = self._place(x, rows)
        return self._weighed(self._stations.seen_from(lat, lon), lat, x, rows)

    def _weighed(self, view: View, lat: Floats, x: Floats, rows: Places) -> tuple[Floats, Floats, Floats]:
        residuals, slopes = self._seen(view, x, rows)
        # The unknowns are km of the start, where a degree of longitude has another length.
        slopes[..., :2] *= (np.stack(km_a_degree(lat), axis=1) / self._km[rows])[:, None, :]
        square = residuals**2
        return residuals, slopes, np.sum(np.sqrt(1 + square) - 1 if self._soft else 0.5 * square, axis=1)

    def _seen(self, view: View, x: Floats, rows: Places) -> tuple[Floats, Floats]:
        """Return residuals, and their derivatives by km at the place itself."""
        weight, factor = self._weight[rows], self._factor(x)
        travel = self._propagation.travel_us(view.distance_m) * factor
        residuals = (self._times[rows] - x[:, 2, None] - travel) * weight
        slopes = np.empty((*residuals.shape, x.shape[1]))
        per_km = weight * (self._propagation.travel_us(np.array(1e3)) * factor)
        slopes[..., 0], slopes[..., 1], slopes[..., 2] = per_km * view.east, per_km * view.north, -weight
        if self._free:
            slopes[..., 3] = -_SPEED_STEP / factor * travel * weight
        return residuals, slopes

    def _normal(self, residuals: Floats, slopes: Floats) -> tuple[Floats, Floats]:
        """Return the loss's descent and its curvature."""
        pull = np.ones_like(residuals)
        curvature = pull
        if self._soft:
            square = residuals**2
            pull = 1 / np.sqrt(1 + square)
            curvature = np.where(square < _OUTLYING, pull**3, pull)
        downhill = -((pull * residuals)[:, None, :] @ slopes)[:, 0]
        return downhill, slopes.transpose(0, 2, 1) @ (curvature[..., None] * slopes)

    def _found(self, x: Floats) -> Minima:
        rows = np.arange(len(x))
        lat, lon = self._place(x, rows)
        view = self._stations.seen_from(lat, lon)
        residuals, slopes = self._seen(view, x, rows)
        slowness = self._propagation.slowness * self._factor(x)[:, 0]
        lon = (lon + 180) % 360 - 180
        time = self._origin + x[:, 2]
        return Minima(lat, lon, time, slowness, view.distance_m, residuals, self._sigma, slopes, ~_is_far(x))

    def _place(self, x: Floats, rows: Places) -> tuple[Floats, Floats]:
        degrees = x[:, :2] / self._km[rows]
        lat, lon = self._arrivals.lat[rows] + degrees[:, 1], self._arrivals.lon[rows] + degrees[:, 0]
        return np.clip(lat, -_HIGHEST_DEG, _HIGHEST_DEG), lon

    def _factor(self, x: Floats) -> Floats:
        return 1.0 + _SPEED_STEP * x[:, 3, None] if self._free else np.ones((len(x), 1))


def _is_far(x: Floats) -> Bools:
    return np.asarray(~(np.hypot(x[:, 0], x[:, 1]) < _FARTHEST_KM))


def _median(values: Floats, count: Places) -> Floats:
    """Return the median of each row's first `count` values in order; NaN is sorted behind them."""
    ordered, rows = np.sort(values, axis=1), np.arange(len(values))
    return np.asarray(0.5 * (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]), np.float64)

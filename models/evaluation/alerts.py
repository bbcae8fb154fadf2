"""The alerts that a model is measured on: prepared as live, with what the rulers and the truncation need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.models.dataset import STEP_TIMES, UNLABELLED, Dataset, Example
from fulgor.models.evaluation.folds import Index
from fulgor.models.layout import CLASSES
from fulgor.preprocessing.ztf import ZtfAlert, prepare
from fulgor.preprocessing.ztf.features import FEATURE_NAMES
from fulgor.preprocessing.ztf.prepare import Prepared

__all__ = ["AlertSet", "LabelledAlert", "detections", "truncate"]

_JD_OF_UNIX_EPOCH = 2_440_587.5

RESTORED = ("sequence", "sequence_mask", "features")
"""Arrays that a shorter history changes; stamps and masks stay."""


class LabelledAlert(NamedTuple):
    """An alert with what is known beside it.

    Parameters
    ----------
    alert : ZtfAlert
        As decoded.
    label : str or None
        Its class; None where it is not known.
    origin : str
        The collection it comes from, such as a repository; it may tell the class, so it is a ruler.
    """

    alert: ZtfAlert
    label: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class AlertSet:
    """Alerts in one order: decoded, prepared and labelled.

    Parameters
    ----------
    alerts : tuple of ZtfAlert
        N of them.
    dataset : Dataset
        Their arrays, labels and objects.
    origins : ndarray
        Unicode (N,): where each was collected.
    """

    alerts: tuple[ZtfAlert, ...]
    dataset: Dataset
    origins: NDArray[np.str_]

    @classmethod
    def gather(cls, rows: Iterable[LabelledAlert], classes: Sequence[str] = CLASSES) -> AlertSet:
        """Prepare alerts; those without a score (unusable stamps) and labels that are no class stay, unlabelled.

        Raises
        ------
        ModelError
            There are no alerts.
        """
        kept: list[ZtfAlert] = []
        origins: list[str] = []

        def examples() -> Iterable[Example]:
            for alert, label, origin in rows:
                prepared = prepare(alert)
                kept.append(alert)
                origins.append(origin)
                arrays = {**prepared.arrays, STEP_TIMES: _step_times(prepared)}
                yield Example(arrays, None if prepared.unscorable else label, alert.object_id)

        dataset = Dataset.gather(examples(), classes)
        return cls(tuple(kept), dataset, np.array(origins))

    def __len__(self) -> int:
        return len(self.alerts)

    @property
    def labels(self) -> Index:
        """Class of each alert, int64 (N,); :data:`fulgor.models.dataset.UNLABELLED` where not known."""
        return self.dataset.labels

    @property
    def labelled(self) -> Index:
        """Indices of the alerts with a class, int64."""
        return np.flatnonzero(self.dataset.labels != UNLABELLED)

    @property
    def objects(self) -> NDArray[np.str_]:
        """Object of each alert, Unicode (N,)."""
        return self.dataset.objects

    @property
    def ids(self) -> NDArray[np.str_]:
        """Candid of each alert, Unicode (N,)."""
        return np.array([str(alert.candid) for alert in self.alerts])

    @property
    def days(self) -> Index:
        """UTC day of each alert, int64 (N,), counted from 1970; midnight UTC is daytime at Palomar."""
        return np.floor([alert.jd - _JD_OF_UNIX_EPOCH for alert in self.alerts]).astype(np.int64)

    def nights(self, least: int = 8) -> NDArray[np.str_]:
        """Return the night of each alert, Unicode (N,): the first and the last Julian day number, by UTC days.

        Midnight UTC is daytime at Palomar. Nights that follow each other are put together until they
        hold ``least`` labelled alerts, since a night of two alerts is hardly a test.
        """
        day = np.floor([alert.jd - 0.5 for alert in self.alerts]).astype(np.int64)
        known = self.labels != UNLABELLED
        block: dict[int, list[int]] = {}
        count, open_block = 0, list[int]()
        for one in np.unique(day).tolist():
            open_block.append(one)
            block[one] = open_block
            count += int((known & (day == one)).sum())
            if count >= least:
                count, open_block = 0, []
        return np.array([f"{block[one][0]}-{block[one][-1]}" for one in day.tolist()])

    @property
    def detections(self) -> Index:
        """Detections that each packet holds, its own included, int64 (N,)."""
        return np.array([detections(alert) for alert in self.alerts], dtype=np.int64)

    def feature(self, names: Sequence[str], index: Index) -> NDArray[np.float64]:
        """Return some metadata features, (n, names), by their names in the preparation."""
        columns = [FEATURE_NAMES.index(name) for name in names]
        return np.asarray(self.dataset.arrays["features"][index][:, columns], dtype=np.float64)

    def without(self, names: Sequence[str]) -> AlertSet:
        """Return the alerts with some features set to their median: they tell nothing any more."""
        columns = [FEATURE_NAMES.index(name) for name in names]
        features = np.array(self.dataset.arrays["features"])
        features[:, columns] = np.median(features[:, columns], axis=0)
        return self._with({"features": features})

    def truncated(self, count: int, which: Index | None = None) -> AlertSet:
        """Return the same alerts as if their objects had at most ``count`` detections, see :func:`truncate`.

        Parameters
        ----------
        count : int
            At least 1.
        which : ndarray, optional
            Indices of those to change; by default all.
        """
        arrays = {name: np.array(self.dataset.arrays[name]) for name in RESTORED}
        alerts = list(self.alerts)
        long = np.flatnonzero(self.detections > count)
        for number in (long if which is None else np.intersect1d(long, which)).tolist():
            alerts[number] = truncate(self.alerts[number], count)
            prepared = prepare(alerts[number]).arrays
            for name in RESTORED:
                arrays[name][number] = prepared[name]
        return replace(self._with(arrays), alerts=tuple(alerts))

    def _with(self, arrays: dict[str, NDArray[np.generic]]) -> AlertSet:
        return replace(self, dataset=replace(self.dataset, arrays={**self.dataset.arrays, **arrays}))


def _step_times(prepared: Prepared) -> NDArray[np.float64]:
    """Return the times of the steps; no alert looks back on one without a score, whose latents are never stored."""
    times = prepared.times.copy()
    if prepared.unscorable:
        times[-1] = np.nan
    return times


def detections(alert: ZtfAlert) -> int:
    """Return the number of detections before and with an alert, as its packet has them."""
    return 1 + len(_earlier(alert))


def truncate(alert: ZtfAlert, count: int) -> ZtfAlert:
    """Return an alert as if its object had been detected at most ``count`` times, this one included.

    The history begins after the last detection that is dropped, so no limit stands where there was a
    detection. ``ndethist`` becomes ``count`` and ``ncovhist`` shrinks by as much, which keeps the number
    of non-detections.
    """
    times = _earlier(alert)
    if len(times) < count:
        return alert
    history = alert.history[alert.history["jd"] > times[-count]]
    candidate = dict(alert.candidate)
    found, covered = candidate.get("ndethist"), candidate.get("ncovhist")
    if isinstance(found, int):
        candidate["ndethist"] = min(found, count)
        if isinstance(covered, int):
            candidate["ncovhist"] = covered - (found - candidate["ndethist"])
    return replace(alert, history=history, candidate=candidate)


def _earlier(alert: ZtfAlert) -> NDArray[np.float64]:
    """Return the times of the earlier detections, one an exposure, ascending."""
    history = alert.history
    found = np.isfinite(history["magpsf"]) & (history["jd"] < alert.jd)
    times: NDArray[np.float64] = np.unique(history["jd"][found])
    return times

"""What the database says of a run: read back from rows, as any user would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulgor.storage.database import connect, translated
from fulgor.storage.places import StoredPlace

__all__ = ["DeadReason", "NightRows", "StoredAlert", "agreement", "read_dead", "read_night"]

_ALERTS = """
SELECT l.alert, l.object, l.class, l.probabilities[array_position(m.classes, l.class)], l.anomaly, a.magpsf, a.fid,
       f.cluster, f.topic, f.topic_id, f.partition, l."offset", l.latent::real[]
FROM fulgor.latent l
JOIN fulgor.feed f USING (feed_id)
JOIN fulgor.model m USING (model_id)
JOIN fulgor.ztf_alert a ON a.alert = l.alert AND a.time = l.time
WHERE f.group_name = %s AND l.stream = 'ztf' AND l.anomaly IS NOT NULL AND l.class IS NOT NULL
ORDER BY l.anomaly DESC, l.alert
"""
_DEAD = """
SELECT stage, error_class, reason, count(*) FROM fulgor.dead_letters
WHERE group_name = %s AND status = 'dead' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """A scored row: `alert` is its id, `probability` that of its class, `place` where its message lies."""

    alert: str
    object: str
    class_name: str
    probability: float
    anomaly: float
    magnitude: float | None
    fid: int
    place: StoredPlace


@dataclass(frozen=True, slots=True)
class NightRows:
    """All scored rows of a run, the strangest first; `latents` is float32 (N, 64)."""

    alerts: Sequence[StoredAlert]
    latents: NDArray[np.float32]

    def strangest(self, count: int) -> list[int]:
        """Return the indices of the strangest alerts, one of each object."""
        seen: dict[str, int] = {}
        for index, alert in enumerate(self.alerts):
            seen.setdefault(alert.object, index)
        return list(seen.values())[:count]


@dataclass(frozen=True, slots=True)
class DeadReason:
    """Dead letters of one kind."""

    stage: str
    error_class: str
    reason: str
    count: int


def read_night(database: str, group: str) -> NightRows:
    """Read the scored rows of a group.

    Parameters
    ----------
    database : str
        URL.
    group : str
        Consumer group of the run.
    """
    with translated(database), connect(database) as connection:
        rows = connection.execute(_ALERTS, [group]).fetchall()
    alerts = [_stored(*row[:-1]) for row in rows]
    latents = np.array([row[-1] for row in rows], dtype=np.float32).reshape(len(rows), -1)
    return NightRows(alerts, latents)


def _stored(
    alert: object, name: object, label: object, probability: object, anomaly: object, magnitude: object, fid: object,
    cluster: object, topic: object, topic_id: object, partition: object, offset: object,
) -> StoredAlert:  # fmt: skip
    place = StoredPlace(str(cluster), str(topic), str(topic_id), int(str(partition)), int(str(offset)))
    return StoredAlert(
        str(alert), str(name), str(label), float(str(probability)), float(str(anomaly)),
        None if magnitude is None else float(str(magnitude)), int(str(fid)), place,
    )  # fmt: skip


def read_dead(database: str, group: str) -> list[DeadReason]:
    """Read the dead letters of a group by reason."""
    with translated(database), connect(database) as connection:
        rows = connection.execute(_DEAD, [group]).fetchall()
    return [DeadReason(str(stage), str(kind), str(why), int(str(count))) for stage, kind, why, count in rows]


def agreement(rows: NightRows, truth: Mapping[str, str]) -> dict[str, tuple[int, int, int]]:
    """Compare the classes found with the simulated truth.

    Parameters
    ----------
    rows : NightRows
        What was found.
    truth : mapping of str to str
        Class by alert id.

    Returns
    -------
    dict of str to (simulated, found, right)
        By class: scored alerts that are of it, that were taken for it, and both.
    """
    known = [(truth[alert.alert], alert.class_name) for alert in rows.alerts if alert.alert in truth]
    simulated, found = Counter(true for true, _ in known), Counter(guess for _, guess in known)
    right = Counter(true for true, guess in known if true == guess)
    return {name: (simulated[name], found[name], right[name]) for name in sorted({*simulated, *found})}

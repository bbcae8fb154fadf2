"""Which pulses are one stroke: every pulse asks where on the map the others would fit with it.

The strokes with most sites are taken first, and a pulse that is taken is gone. What comes out depends
on the set of pulses alone, not on their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fulgor.models.location.companies import Network, Pulses
from fulgor.models.location.model import DEFAULT, Propagation, Sighting
from fulgor.models.location.phase import PHASE
from fulgor.models.location.search import Search
from fulgor.models.location.solve import LEAST_SITES
from fulgor.models.location.stroke import Stroke

__all__ = ["Locator"]


class Locator:
    """Finds strokes among pulses of a network.

    Parameters
    ----------
    nodes : mapping of str to (float, float)
        Latitude and longitude of each receiver.
    envelope, phase : Propagation
        Speed and uncertainty of edges, and of waves.

    Raises
    ------
    ValueError
        Fewer than three receivers.
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[float, float]],
        envelope: Propagation = DEFAULT,
        phase: Propagation = PHASE,
    ) -> None:
        if len(nodes) < LEAST_SITES:
            raise ValueError(f"{len(nodes)} receivers: location needs {LEAST_SITES}")
        self._index = {node: number for number, node in enumerate(sorted(nodes))}
        self._network = Network(np.array([nodes[node] for node in sorted(nodes)], np.float64), envelope)
        self._phase = phase

    def locate(self, sightings: Sequence[Sighting]) -> list[Stroke]:
        """Return the strokes among pulses in time order, each pulse in at most one.

        Parameters
        ----------
        sightings : sequence of Sighting
            Of a stretch of time, in any order; those of unknown receivers are left out.
        """
        known = sorted((s for s in sightings if s.node in self._index), key=lambda s: s.id)
        pulses = Pulses(self._network, known, [self._index[s.node] for s in known])
        found = Search(self._network, self._phase, pulses).strokes()
        return sorted(found, key=lambda stroke: (stroke.time_ns, stroke.sightings[0].id))

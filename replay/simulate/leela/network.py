"""The simulated network: receivers at known places, each with an electric neighbourhood of its own.

The layout has the shape of a real one (a dense core, outposts at 1,500 to 3,300 km), not its places.
"""

from __future__ import annotations

from dataclasses import dataclass

from fulgor.errors import SettingsError
from fulgor.preprocessing.leela.nodes import Node

__all__ = ["MAX_SITES", "MIN_SITES", "NETWORK", "Site", "sites"]

_PLACES = (
    # name, latitude, longitude, threshold in noises
    ("Ashby", 52.41, -1.62, 5.0),
    ("Benbury", 50.93, 0.21, 5.0),
    ("Carnmor", 50.36, -4.87, 5.5),
    ("Delven", 52.27, 5.42, 5.0),
    ("Eskay", 60.31, -1.04, 5.0),
    ("Faro Alto", 37.05, -6.11, 6.0),
    ("Gdyra", 57.84, 25.93, 5.0),
    ("Halos", 35.12, 32.44, 5.5),
    ("Isvik", 64.02, -21.57, 5.0),
    ("Jaras", 38.62, 24.15, 5.0),
    ("Kilrea", 54.18, -7.35, 5.0),
)

MIN_SITES, MAX_SITES = 5, len(_PLACES)


@dataclass(frozen=True, slots=True)
class Site:
    """A simulated receiver.

    Parameters
    ----------
    index : int
        Number within the network: seeds what is its own.
    node : Node
        Place and names.
    trigger : float
        Peak of the envelope, in noises, above which a chunk is sent.
    """

    index: int
    node: Node
    trigger: float


NETWORK: tuple[Site, ...] = tuple(
    Site(index, Node(f"SIM{index + 1:02d}", name, lat, lon, trigger), trigger)
    for index, (name, lat, lon, trigger) in enumerate(_PLACES)
)


def sites(count: int) -> tuple[Site, ...]:
    """Return the first `count` receivers; the dense core comes first.

    Raises
    ------
    SettingsError
        Fewer or more than there are.
    """
    if not MIN_SITES <= count <= MAX_SITES:
        raise SettingsError(f"--sites {count}: the simulated network has {MIN_SITES} to {MAX_SITES}")
    return NETWORK[:count]

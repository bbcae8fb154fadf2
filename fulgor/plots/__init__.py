"""Pictures: pure functions from arrays to :class:`matplotlib.figure.Figure`, without global state.

::

    from fulgor.plots import latent_map

    latent_map(latents, classes).savefig("map.png")

Nothing here reads a database or a topic.
"""

from fulgor.plots.curves import LightCurve, light_curve
from fulgor.plots.distribution import anomaly_by_class
from fulgor.plots.maps import Projection, latent_map, principal_plane
from fulgor.plots.stamps import Card, Stamps, gallery, stamp_triplet

__all__ = [
    "Card",
    "LightCurve",
    "Projection",
    "Stamps",
    "anomaly_by_class",
    "gallery",
    "latent_map",
    "light_curve",
    "principal_plane",
    "stamp_triplet",
]

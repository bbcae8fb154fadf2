"""The receivers of a network: where each stands. Read from the JSON that the network itself keeps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fulgor.errors import SettingsError

__all__ = ["Node", "read_nodes", "write_nodes"]

_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Node:
    """One receiver.

    Parameters
    ----------
    node, site : str
        Serial number and name of the site.
    lat, lon : float
        WGS 84, degrees.
    threshold : float
        Counts above which the receiver sends a chunk.
    """

    node: str
    site: str
    lat: float
    lon: float
    threshold: float = 0.0


def read_nodes(path: Path) -> dict[str, Node]:
    """Return the receivers by serial number.

    Parameters
    ----------
    path : Path
        JSON object of objects with ``Site``, ``Position`` (``lat``, ``lon``) and perhaps ``Threshold``.

    Raises
    ------
    SettingsError
        It cannot be read, or a receiver has no usable position.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError(f"nodes {path}: larger than any list of receivers")
        described = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): _node(str(name), fields) for name, fields in described.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise SettingsError(f"nodes {path}: no list of receivers: {error!r}") from error


def write_nodes(nodes: Iterable[Node], path: Path) -> None:
    """Write receivers in the form that :func:`read_nodes` reads."""
    described = {
        n.node: {"Site": n.site, "Position": {"lat": n.lat, "lon": n.lon}, "Threshold": n.threshold} for n in nodes
    }
    path.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def _node(name: str, fields: Mapping[str, Any]) -> Node:
    lat, lon = float(fields["Position"]["lat"]), float(fields["Position"]["lon"])
    if not (-90 <= lat <= 90 and -180 <= lon <= 360 and math.isfinite(lat + lon)):
        raise ValueError(f"receiver {name} stands at {lat}, {lon}")
    return Node(name, str(fields["Site"]), lat, lon, float(fields.get("Threshold", 0.0)))

"""Which pulses may be one stroke: for a pulse and each cell of a coarse grid, the other sites' arrival times follow.

The cells at which most sites have a pulse near theirs, with strengths that the way there explains, are
where fits begin.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulgor.models.location.model import Propagation, Sighting
from fulgor.models.location.solve import LEAST_SITES
from fulgor.models.location.strengths import COARSE, are_of_one_source, loss
from fulgor.preprocessing.leela.geodesy import Stations, distance_m

__all__ = ["Company", "Network", "Pulses"]

_CELL_DEG = 0.8
_MARGIN_DEG = 8.0  # of the map beyond the outermost receivers
_COARSE_US = 220.0  # a wave's way through half a cell, and an edge's uncertainty
_CHOICES = 4  # companies that a pulse proposes
_LOOKED_AT = 400  # cells, to find them
_FEWER_US = 1e6  # by how much a cell ranks lower for each site that fits less
_US = 1000

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


class Network:
    """Receivers, and a map around them of what a stroke in each cell would be like.

    Parameters
    ----------
    places : ndarray
        float64 (sites, 2): latitude and longitude.
    propagation : Propagation
        Of the envelopes' edges.
    """

    def __init__(self, places: Floats, propagation: Propagation) -> None:
        self.places, self.propagation = places, propagation
        self.stations = Stations(*places.T)
        self.cells = _grid(places)
        distance = distance_m(*places.T[:, :, None], *self.cells.T[:, None, :])
        self.travel_us = propagation.travel_us(distance)
        self.roughly_us = self.travel_us.astype(np.float32)
        self.loss = loss(distance)

    @cached_property
    def span_us(self) -> float:
        """Longest time between two arrivals of one stroke."""
        one, other = self.places[:, None, :], self.places[None, :, :]
        farthest = distance_m(one[..., 0], one[..., 1], other[..., 0], other[..., 1]).max()
        return float(self.propagation.travel_us(farthest) + _COARSE_US)

    def distance(self, lat: Floats, lon: Floats) -> Floats:
        """Return the distances of places from all receivers, metres: float64 (places, sites)."""
        return self.stations.seen_from(lat, lon).distance_m


class Company(NamedTuple):
    """Pulses that may be one stroke; the first fields are its rank."""

    fewer: int
    misfit_us: float
    id: str
    choice: int
    seed: int
    members: tuple[int, ...]
    cell: int

    @property
    def question(self) -> tuple[tuple[int, ...], int]:
        """Which pulses are to be tried from where."""
        return self.members, self.cell


class Pulses:
    """The pulses of one stretch of time, as arrays, and what each proposes.

    Parameters
    ----------
    network : Network
        The receivers.
    sightings : sequence of Sighting
        The pulses.
    site : sequence of int
        Which receiver each is from.
    """

    def __init__(self, network: Network, sightings: Sequence[Sighting], site: Sequence[int]) -> None:
        self._network, self.sightings = network, sightings
        self.origin_ns = min((s.time_ns for s in sightings), default=0)
        self.site = np.array(site, np.intp)
        self.time = np.array([(s.time_ns - self.origin_ns) / _US + s.timing.edge_us for s in sightings])
        self.amplitude = np.log([max(s.amplitude, 1e-3) for s in sightings])
        self.at_work = np.isin(np.arange(len(network.places)), self.site)
        self._asked: dict[tuple[int, bytes], list[Company]] = {}

    def propose(self, seed: int, free: NDArray[np.bool_]) -> list[Company]:
        """Return the best companies of a pulse among those that are free, each with its best cell of the map."""
        near = np.flatnonzero(free & (np.abs(self.time - self.time[seed]) <= self._network.span_us))
        near = near[(self.site[near] != self.site[seed])]
        key = seed, near.tobytes()
        if key not in self._asked:
            self._asked[key] = self._proposed(seed, near[np.argsort(self.site[near], kind="stable")])
        return self._asked[key]

    def _proposed(self, seed: int, near: Places) -> list[Company]:
        """Return the companies of a pulse and others near it, which are in the order of their sites."""
        sites, first = np.unique(self.site[near], return_index=True)
        if len(sites) + 1 < LEAST_SITES:
            return []
        parts = [slice(*ends) for ends in itertools.pairwise([*first.tolist(), len(near)])]
        since = (self.time[seed] - self.time[near])[:, None]
        cells = self._foremost(seed, near, parts, since)
        travel = self._network.travel_us[:, cells]
        apart = np.abs(travel[self.site[near]] - travel[self.site[seed]] + since)
        nearest = np.stack([apart[part].min(axis=0) for part in parts])
        fits = nearest < _COARSE_US
        count = fits.sum(axis=0)
        mean = np.where(fits, nearest, 0.0).sum(axis=0) / np.maximum(count, 1)
        order = np.argsort(mean - count * _FEWER_US, kind="stable")[:_LOOKED_AT]
        members = np.full((len(order), len(self._network.places)), -1)
        for site, part, fit in zip(sites.tolist(), parts, fits[:, order], strict=True):
            number = (
                near[part.start] if part.stop - part.start == 1 else near[part][apart[part][:, order].argmin(axis=0)]
            )
            members[:, site] = np.where(fit, number, -1)
        members[:, self.site[seed]] = seed
        return self._chosen(seed, members, cells[order], mean[order])

    def _foremost(self, seed: int, near: Places, parts: Sequence[slice], since: Floats) -> Places:
        """Return the cells at which most sites fit: enough of them to look at, and all that are as good."""
        travel = self._network.roughly_us
        ahead = travel[self.site[near]] - travel[self.site[seed]]
        ahead += since.astype(np.float32)
        fits = np.abs(ahead, out=ahead) < _COARSE_US
        count = np.zeros(fits.shape[1], np.uint8)
        for part in parts:
            count += fits[part.start] if part.stop - part.start == 1 else fits[part].any(axis=0)
        each = np.bincount(count)
        least = len(each) - 1 - int(np.argmax(np.cumsum(each[::-1]) >= min(_LOOKED_AT, len(count))))
        return np.flatnonzero(count >= least)

    def _chosen(self, seed: int, members: Places, cells: Places, mean: Floats) -> list[Company]:
        amplitude = np.where(members < 0, np.nan, self.amplitude[members])
        alike = are_of_one_source(amplitude, self._network.loss[:, cells].T, self.at_work, COARSE)
        rows = np.flatnonzero(alike & ((members >= 0).sum(axis=1) >= LEAST_SITES))
        found: dict[tuple[int, ...], Company] = {}
        for row, of_sites in zip(rows.tolist(), map(tuple, members[rows].tolist()), strict=True):
            if of_sites not in found:
                company = tuple(sorted(number for number in of_sites if number >= 0))
                rank = (-len(company), float(mean[row]), self.sightings[seed].id, len(found))
                found[of_sites] = Company(*rank, seed, company, int(cells[row]))
                if len(found) == _CHOICES:
                    break
        return list(found.values())


def _grid(places: Floats) -> Floats:
    """Return cells of about equal area around the receivers: float64 (cells, 2), latitude and longitude."""
    (south, west), (north, east) = places.min(axis=0) - _MARGIN_DEG, places.max(axis=0) + _MARGIN_DEG
    rows = []
    for lat in np.arange(max(south, -89.0), min(north, 89.0), _CELL_DEG):
        lon = np.arange(west, east, _CELL_DEG / np.cos(np.radians(lat)))
        rows.append(np.stack([np.full(len(lon), lat), lon], axis=1))
    return np.concatenate(rows)

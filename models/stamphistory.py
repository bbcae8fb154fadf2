"""Stamp latents of earlier alerts as a training and a measurement see them: encoded once, looked up by row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fulgor.models.batches import Index, batches
from fulgor.models.dataset import Dataset
from fulgor.models.lookback import ABSENT, earlier_alerts
from fulgor.models.ztf import ZtfNetwork

__all__ = ["StampHistory"]

BATCH = 128
"""Alerts that are encoded at a time."""


class StampHistory(NamedTuple):
    """What N alerts can look back on.

    Parameters
    ----------
    pool : Tensor
        (M, latent): stamp latents of alerts that others look back on.
    earlier : Tensor
        int64 (N, L - 1): the row of the pool behind each step, :data:`fulgor.models.lookback.ABSENT` where none is.
    """

    pool: Tensor
    earlier: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, network: ZtfNetwork, dataset: Dataset, index: Index) -> StampHistory:
        """Return what some alerts of a data set can look back on: any other of it, as if all were stored."""
        earlier = earlier_alerts(dataset)[index]
        needed, place = np.unique(earlier, return_inverse=True)
        places = torch.from_numpy(place.reshape(earlier.shape))
        if len(needed) and needed[0] == ABSENT:
            needed, places = needed[1:], places - 1
        device = next(network.parameters()).device
        pool = [torch.zeros(0, network.architecture.latent)]
        for batch in batches(dataset, needed, BATCH):
            there = batch.to(device)
            pool.append(network.encoder(there.stamps, there.masks).cpu())
        return cls(torch.cat(pool), places)

    def slots(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``history`` (n, L - 1, latent) and ``history_mask`` (n, L - 1) of some of the alerts."""
        earlier = self.earlier[chosen]
        known = (earlier != ABSENT).float()
        if not len(self.pool):
            return self.pool.new_zeros(*earlier.shape, self.pool.shape[1]), known
        return self.pool[earlier.clamp(min=0)], known

    def part(self, chosen: Tensor) -> StampHistory:
        """Return what some of the alerts look back on."""
        return self._replace(earlier=self.earlier[chosen])

    def joined(self, other: StampHistory) -> StampHistory:
        """Return what the alerts of both look back on."""
        moved = torch.where(other.earlier == ABSENT, ABSENT, other.earlier + len(self.pool))
        return StampHistory(torch.cat([self.pool, other.pool]), torch.cat([self.earlier, moved]))

"""Isolation forest: how few random cuts set an alert apart (Liu et al. 2008, doi:10.1109/ICDM.2008.17).

Grown by coniferest, served in numpy: all trees lie in one table of nodes, and every alert walks down
all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fulgor.models.scores.score import Arrays, Floats

__all__ = ["Forest"]

TREES = 128
SUBSAMPLE = 256


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes of all trees, one behind the other.

    Parameters
    ----------
    roots : ndarray of int32
        (trees,): the first node of each tree.
    feature : ndarray of int16
        (nodes,): the latent's element that a node looks at; -1 for a leaf.
    child : ndarray of int32
        (nodes,): where an alert goes whose element is at most ``value``; else to the node after it.
    value : ndarray of float32
        (nodes,): threshold of a node; of a leaf, the length of the path to it.
    scale : ndarray of float64
        (): mean path length of a tree, which is where the score is 1/2.
    depth : ndarray of int32
        (): cuts on the longest path.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    child: NDArray[np.int32]
    value: NDArray[np.float32]
    scale: NDArray[np.float64]
    depth: NDArray[np.int32]

    @classmethod
    def fit(cls, latents: Floats, seed: int) -> Self:
        """Grow a forest on latents (N, D)."""
        from coniferest.isoforest import IsolationForest  # type: ignore[import-untyped]

        rows = np.ascontiguousarray(latents, dtype=np.float32)
        grown = IsolationForest(TREES, min(SUBSAMPLE, len(rows)), n_jobs=1, random_seed=seed).fit(rows)
        scale = grown.evaluator.average_path_length(grown.n_subsamples)
        return cls(*_table(grown.core_forest), np.array(scale, np.float64), np.array(grown.max_depth, np.int32))

    def __call__(self, latents: Floats) -> Floats:
        """Return 2 ** -(mean path / scale), in (0, 1), of latents (N, D)."""
        rows = np.ascontiguousarray(latents, dtype=np.float32)
        number = np.arange(len(rows))[:, None]
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        for _ in range(int(self.depth)):
            feature = self.feature[node]
            beyond = rows[number, np.maximum(feature, 0)] > self.value[node]
            node = np.where(feature < 0, node, self.child[node] + beyond)
        paths = self.value[node].mean(axis=1, dtype=np.float64)
        return np.asarray(2.0 ** (-paths / self.scale))

    def arrays(self) -> Arrays:
        """Return the table of nodes."""
        return {name: getattr(self, name) for name in self.__slots__}


def _table(trees: Any) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.int32], NDArray[np.float32]]:
    """Return roots, features, children and values of coniferest's trees."""
    sizes = [tree.n_nodes for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    features, children, values = [], [], []
    for root, tree in zip(roots, trees, strict=True):
        leaf = np.asarray(tree.left) <= 0  # a leaf's feature is its number among the leaves
        place = np.where(leaf, np.asarray(tree.feature), 0)
        values.append(np.where(leaf, np.asarray(tree.leaf_values())[place], tree.value))
        features.append(np.where(leaf, -1, tree.feature))
        children.append(np.where(leaf, 0, tree.left) + root)
    nodes = (np.concatenate(features).astype(np.int16), np.concatenate(children).astype(np.int32))
    return roots, *nodes, np.concatenate(values).astype(np.float32)

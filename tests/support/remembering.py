"""A small random ZTF network that takes stored stamp latents: it has no skill, and shows all the same who remembers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from fulgor.models.cuda import TorchBackend
from fulgor.models.export import example
from fulgor.models.folder import write_folder
from fulgor.models.layout import SCORES
from fulgor.models.reference import Reference
from fulgor.models.serving import LoadedModel
from fulgor.models.ztf import Architecture, ZtfNetwork
from fulgor.preprocessing.ztf import DEFAULT, FEATURE_NAMES


def random_model(folder: Path, seed: int = 7) -> LoadedModel:
    """Return a model whose random weights make the history count for much; it runs in torch, without a graph."""
    torch.manual_seed(seed)
    architecture = Architecture(
        features=len(FEATURE_NAMES), size=21, width=2, steps=DEFAULT.sequence_length, history_stamps=True
    )
    network = ZtfNetwork(architecture).eval().requires_grad_(False)
    network.recurrence.read.weight *= 4
    scores = network(*example(architecture, 200, seed)).scores.numpy()
    reference = Reference.fit(np.nan_to_num(scores), SCORES, source="noise")
    split = {"parts": {"train": dict.fromkeys(architecture.classes, 1)}}
    model = SimpleNamespace(network=network, reference=reference, metrics={}, split=split, training={"seed": seed})
    card = write_folder(
        model, folder, lambda path: path.write_bytes(b""), name=f"random-{seed}", stream="ztf",
        preprocessing_hash=DEFAULT.content_hash, scores=SCORES,
        recurrence={"cell": "decay-gru", "steps": architecture.steps, "history_stamps": True}, data={"simulated": True},
    )  # fmt: skip
    return LoadedModel(card, TorchBackend(folder, card, "cpu"), "cpu")

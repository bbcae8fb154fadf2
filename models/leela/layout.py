"""Names and shapes at the LEELA model's border, shared by training, export and serving. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CLASSES",
    "COMBINED",
    "INPUTS",
    "LATENT",
    "LOG_AMPLITUDE",
    "LOG_SNR",
    "OUTPUTS",
    "PULSES",
    "SCALARS",
    "SCORES",
    "WINDOW",
]

CLASSES: Final = ("noise", "single", "train", "cloud", "skywave", "manmade", "clipped")
"""Classes of chunks, in the order of the probabilities."""

SCORES: Final = ("reconstruction", "distance", "noise")
"""Anomaly scores, in the order of the model's output; a card names those of its model, of which older ones lack
the last."""

COMBINED: Final = ("reconstruction", "noise")
"""The scores behind ``anomaly``: those of a pulse's own window, which a shift of the chunk leaves as they are."""

INPUTS: Final = ("windows", "scalars", "place")
"""Input of the graph: windows (M, 2, 256) of all pulses of a batch, scalars (N, 8, 8) of N chunks, and
place (N, 8): the pulses' numbers among the windows in time order, -1 where a chunk has no more."""

OUTPUTS: Final = ("latent", "pulse_latent", "probabilities", "scores")
"""Output of the graph, each (N, 8, ...): a row for each pulse."""

LATENT: Final = 64
PULSES: Final = 8
"""Pulses of a chunk at most."""

WINDOW: Final = 256
SCALARS: Final = 8
LOG_SNR: Final = 0
"""The column of the scalars that holds log(SNR)."""
LOG_AMPLITUDE: Final = 5
"""The column that holds log(1 + amplitude in ADC counts)."""

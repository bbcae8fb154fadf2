"""Names and shapes at the model's border, shared by training, export and serving. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AHEAD",
    "BANDS",
    "CLASSES",
    "COLUMNS",
    "DETECTION",
    "HIDEABLE",
    "HISTORY_INPUTS",
    "INPUTS",
    "LOG_ERROR",
    "MAGNITUDE",
    "OUTPUTS",
    "SCORES",
    "SINCE_PREVIOUS",
    "STAMP_SIZE",
]

CLASSES: Final = ("AGN", "SN", "VS", "asteroid", "bogus")
"""Classes of the ZTF model, in the order of its probabilities."""

SCORES: Final = ("reconstruction", "sequence", "distance")
"""Anomaly scores, in the order of the model's output."""

INPUTS: Final = ("stamps", "masks", "sequence", "sequence_mask", "features")
"""Model input, in the order of the network's arguments."""

HISTORY_INPUTS: Final = ("history", "history_mask")
"""What a model of stored stamp latents takes beside :data:`INPUTS`: (N, L - 1, latent) and (N, L - 1).

Place k belongs to step k of the sequence. The mask is 1 where the stamp latent of an earlier alert is given; elsewhere
the model puts its "absent" token, whatever ``history`` holds there.
"""

OUTPUTS: Final = ("latent", "stamp_latent", "probabilities", "scores")
"""Model output, in the order of the network's results."""

STAMP_SIZE: Final = 63
"""Side of the prepared stamps, pixels; the network crops to its own size."""

COLUMNS: Final = 8
"""Columns of a sequence step."""

AHEAD: Final = 0
"""log1p(days before the alert)."""

SINCE_PREVIOUS: Final = 1
"""log1p(days since the previous step)."""

BANDS: Final = slice(2, 4)
"""Is band g, is band r."""

MAGNITUDE: Final = 4
"""(magnitude - 19) / 2."""

LOG_ERROR: Final = 5
"""log(max(error, 0.01 mag)) / 2."""

DETECTION: Final = 6
"""1 for a detection, 0 for a limit."""

HIDEABLE: Final = slice(4, 8)
"""What a hidden step does not tell: magnitude, error, detection, sign."""

"""LEELA lightning waveforms: messages to chunks, chunks to pulses and to the arrays that a model takes."""

from __future__ import annotations

from fulgor.preprocessing.leela.chunk import LeelaChunk, LeelaDecoder
from fulgor.preprocessing.leela.flags import LeelaFlag
from fulgor.preprocessing.leela.periodogram import periodogram
from fulgor.preprocessing.leela.prepare import SCALARS, PreparedChunk, prepare, prepare_together
from fulgor.preprocessing.leela.pulses import Pulse
from fulgor.preprocessing.leela.recipe import DEFAULT, NOMINAL_INTERVAL_NS, Recipe
from fulgor.preprocessing.leela.schema import CHUNK_SCHEMA

__all__ = [
    "CHUNK_SCHEMA",
    "DEFAULT",
    "NOMINAL_INTERVAL_NS",
    "SCALARS",
    "LeelaChunk",
    "LeelaDecoder",
    "LeelaFlag",
    "PreparedChunk",
    "Pulse",
    "Recipe",
    "periodogram",
    "prepare",
    "prepare_together",
]

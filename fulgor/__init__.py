"""Fulgor: streaming inference on alerts and waveforms, exactly once into Postgres."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"

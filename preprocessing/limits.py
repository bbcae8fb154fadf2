"""The sizes that producer, topic, archive reader and consumer agree on: set here and nowhere else."""

from __future__ import annotations

__all__ = ["MESSAGE_MAX_BYTES"]

MESSAGE_MAX_BYTES = 16 * 1024 * 1024
"""Largest value of one message, in bytes. Real multi-record containers reach 2.5 MB."""

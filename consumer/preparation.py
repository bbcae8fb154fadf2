"""A model and the preparation that feeds it belong together."""

from __future__ import annotations

from fulgor.consumer.stream import Stream
from fulgor.errors import ModelError

__all__ = ["check_preparation"]


def check_preparation(stream: Stream, preprocessing_hash: str) -> None:
    """Refuse the hash of another preparation than the stream's.

    Raises
    ------
    ModelError
        The hashes differ.
    """
    if preprocessing_hash != stream.preprocessing_hash:
        raise ModelError(
            f"the model was trained with preparation {preprocessing_hash}, this program prepares"
            f" {stream.name} with {stream.preprocessing_hash}: take a model of this version, or retrain"
        )

"""Avro: schemas compiled to readers that take out the wanted fields only."""

from __future__ import annotations

from fulgor.preprocessing.avro.readers import BodyError
from fulgor.preprocessing.avro.schema import Projection, Schema, SchemaCache

__all__ = ["BodyError", "Projection", "Schema", "SchemaCache"]

"""A message of any framing to what a stream makes of its records, each decoded or an error of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from fulgor.errors import MalformedError
from fulgor.preprocessing.avro import BodyError, Projection
from fulgor.preprocessing.framing import Framing, confluent_parts, framing_of
from fulgor.preprocessing.records import AvroRecord, ContainerReader, read_body
from fulgor.preprocessing.schemas import SchemaSource

__all__ = ["MessageDecoder"]

T = TypeVar("T")


class MessageDecoder(Generic[T]):
    """Decodes the messages of a topic.

    Parameters
    ----------
    projection : Projection
        The fields that are decoded.
    made_of : callable
        Makes the stream's own of a record; a MalformedError that it raises costs that record only.
    schemas : SchemaSource, optional
        Where the schemas of messages in Confluent wire format are found.
    """

    def __init__(
        self, projection: Projection, made_of: Callable[[AvroRecord], T], schemas: SchemaSource | None = None
    ) -> None:
        self._made_of = made_of
        self._sources = schemas
        self._container = ContainerReader(projection)

    def __call__(self, value: bytes) -> list[T | MalformedError]:
        """Return what the records of a message hold, each decoded or an error of its own.

        Parameters
        ----------
        value : bytes
            The message: an Avro container of any number of records, or one record in Confluent wire format.

        Raises
        ------
        MalformedError
            The message as a whole cannot be trusted: stage ``framing``, ``container`` or ``schema``.
        BrokerError
            The schema registry cannot be reached now.
        """
        if framing_of(value) is Framing.CONTAINER:
            return list(self._made(self._container(value)))
        return list(self._made([self._bare(*confluent_parts(value))]))

    def _made(self, records: Iterable[AvroRecord]) -> Iterator[T | MalformedError]:
        for record in records:
            try:
                yield self._made_of(record)
            except MalformedError as error:
                yield error

    def _bare(self, schema_id: int, body: bytes) -> AvroRecord:
        """Decode the one record of a message in Confluent wire format."""
        if self._sources is None:
            raise MalformedError(
                f"Confluent wire format with schema id {schema_id}, but neither a schema registry nor a folder of "
                "schemas is set; or damaged data that start with a zero byte",
                stage="framing",
            )
        schema = self._container.schemas(self._sources.schema(schema_id))
        try:
            record, end = read_body(schema, body, 0, 0)
        except BodyError as error:
            raise MalformedError(f"damaged, or not of schema id {schema_id}: {error}", stage="container") from error
        if end != len(body):
            raise MalformedError(
                f"damaged, or not of schema id {schema_id}: the record takes {end} of {len(body)} bytes",
                stage="container",
            )
        return record

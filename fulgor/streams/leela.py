"""LEELA: the lightning location network's waveforms, composed from the layers below.

A message holds chunks, a chunk pulses: item 0 is the chunk itself, items 1 to P its pulses in time
order. Their rows share one table; the views ``leela_chunks`` and ``leela_pulses`` part them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulgor.consumer.settings import Settings
from fulgor.consumer.stream import Item, Record
from fulgor.errors import MalformedError
from fulgor.preprocessing.leela import (
    DEFAULT,
    NOMINAL_INTERVAL_NS,
    LeelaChunk,
    LeelaDecoder,
    LeelaFlag,
    PreparedChunk,
    prepare_together,
)
from fulgor.preprocessing.leela.filters import band_pass
from fulgor.preprocessing.leela.nodes import read_nodes
from fulgor.preprocessing.leela.pulses import Pulse
from fulgor.preprocessing.schemas import schema_source
from fulgor.replay.alerttime import ns_to_ms
from fulgor.storage.tables import Column, StreamTable

if TYPE_CHECKING:
    from fulgor.models.leela.serving import LeelaModel

__all__ = ["CHUNK", "LEELA", "pack_samples", "pulse_columns", "unpack_samples"]

_COLUMNS = (
    Column("site", "text", "Name of the site"),
    Column("node", "text", "Serial number of the receiver"),
    Column("chunk", "text", "The chunk's id: its own row's alert", of="items"),
    Column("start_ns", "int8", "Time of the chunk's first sample, ns since 1970 UTC"),
    Column("interval_ns", "float8", "Sampling interval, ns"),
    Column("numsmpls", "int4", "Number of samples of the chunk"),
    Column("rx_ns", "int8", "Time of reception, ns since 1970 UTC", of="rows"),
    Column("packetinsec", "int4", "Number of the chunk within its second", of="rows"),
    Column("energy", "int4", "The receiver's own measure of strength", of="rows"),
    Column("clipped", "bool", "The receiver says that it clipped", of="rows"),
    Column("offset_counts", "float4", "Mean of the samples, ADC counts", of="rows"),
    Column("noise", "float4", "Robust standard deviation of the band-passed chunk, ADC counts"),
    Column("pulses", "int2", "Pulses found in the chunk", of="rows"),
    Column("samples", "bytea", "The samples as sent, little-endian int16, or float32 where that loses any", of="rows"),
    Column("pulse", "int2", "Number of the pulse within its chunk, from 1", of="items"),
    Column("pulse_id", "text", "Same for one pulse seen in several chunks of a site", of="items"),
    Column("pulse_ns", "int8", "Time of the envelope's peak, between samples, ns since 1970 UTC", of="items"),
    Column("start_index", "int4", "First sample of the pulse in its chunk", of="items"),
    Column("peak_index", "int4", "Largest sample of the envelope in its chunk", of="items"),
    Column("end_index", "int4", "Last sample of the pulse in its chunk", of="items"),
    Column("polarity", "int2", "Sign of the largest excursion: 1 or -1", of="items"),
    Column("amplitude", "float4", "Its modulus, band-passed, ADC counts", of="items"),
    Column("snr", "float4", "Peak of the envelope over the noise", of="items"),
    Column("rise_us", "float4", "Filtered rise time, 10 to 90 % of the causal envelope, microseconds", of="items"),
    Column("width_us", "float4", "From start to end, microseconds", of="items"),
    Column("window", "bytea", "256 band-passed samples, little-endian float16 ADC counts around peak_index (the 129th);"
           " resampled to 9142.857 ns where interval_ns differs by more than 0.1 %", of="items"),
    Column("pulse_flags", "int8", "Quality bits of this pulse", of="items"),
    Column("revision", "int2", "0 as found live; 1 revised with the neighbouring chunks; 2 withdrawn, since with them"
           " there is no such pulse, or it is the neighbour's", of="items"),
)  # fmt: skip

_NAMES = tuple(column.name for column in _COLUMNS)

CHUNK = 0
"""Item number, and model input ``pulse``, of the row of a chunk itself."""

_MICROSECOND_NS = 1000
# Two chunks that hold one pulse place it within a few microseconds; two pulses are never so near.
_PULSE_GRID_NS = 100_000
# Stands for a time that no calendar holds; such rows lie in the default partition.
_IMPOSSIBLE = datetime(1, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT16 = 32_768
_LARGEST_HALF = float(np.finfo(np.float16).max)
_LARGEST_SINGLE = float(np.finfo(np.float32).max)
# Flags that a chunk has because one of its pulses has.
_OF_PULSES = LeelaFlag.NEAR_EDGE | LeelaFlag.WINDOW_CUT


class LEELA:
    """The LEELA stream.

    Parameters
    ----------
    settings : Settings
        Of them: where schemas of Confluent-framed messages are found, and the list of known nodes.
    """

    name = "leela"
    table = StreamTable("leela", "chunks", _COLUMNS, items="pulses")
    default_topic = "leela"
    default_model = Path(__file__).resolve().parents[1] / "models" / "shipped" / "leela"
    prepared_together = 64

    def __init__(self, settings: Settings) -> None:
        self._decoder = LeelaDecoder(schema_source(settings.schemas) if settings.schemas else None)
        self._nodes = read_nodes(settings.nodes) if settings.nodes else None
        self.preprocessing_hash = DEFAULT.content_hash
        # Its first call imports scipy.signal: not while the first chunk waits.
        band_pass(np.zeros(2 * DEFAULT.guard + 1), NOMINAL_INTERVAL_NS, DEFAULT)

    def decode(self, value: bytes) -> Sequence[Record | MalformedError]:
        """Return the chunks of a message, each decoded or an error of its own."""
        return self._decoder(value)

    def prepare(self, record: Record) -> Sequence[Item]:
        """Return the chunk's own item and one for each of its pulses."""
        return self.prepare_together([record])[0]

    def prepare_together(self, records: Sequence[Record]) -> Sequence[Sequence[Item]]:
        """Return the items of each chunk; a batch of them takes a fifth of the time of one after the other."""
        chunks = [record for record in records if isinstance(record, LeelaChunk)]
        assert len(chunks) == len(records)  # noqa: S101 - what decode gave
        return [
            list(_items(chunk, prepared, self._known(chunk)))
            for chunk, prepared in zip(chunks, prepare_together(chunks), strict=True)
        ]

    def identify(self, record: Record) -> Sequence[tuple[str, str, int | None]]:
        """Return the chunk's id, site and time: those of its pulses begin with them, and need not be looked for."""
        assert isinstance(record, LeelaChunk)  # noqa: S101 - what decode gave
        return [(record.id, record.name, ns_to_ms(record.start_ns))]

    def load_model(self, folder: Path, device: str, threads: int) -> LeelaModel:
        """Load a model of this stream, ready to run."""
        from fulgor.models.leela.serving import load

        return load(folder, device, threads=threads)

    def _known(self, chunk: LeelaChunk) -> LeelaFlag:
        known = self._nodes is None or chunk.node in self._nodes
        return LeelaFlag(0) if known else LeelaFlag.UNKNOWN_NODE


def _items(chunk: LeelaChunk, prepared: PreparedChunk, extra: LeelaFlag) -> Iterator[Item]:
    """Yield the chunk's item and one for each of its pulses."""
    flags = prepared.flags | extra
    shared, arrays = _shared_columns(chunk, prepared), _padded(prepared.arrays)
    time, time_ns = _time(chunk.start_ns)
    yield Item(
        alert=chunk.id, object=chunk.name, time=time, time_ns=time_ns, content_hash=chunk.content_hash,
        arrays=_arrays(chunk, arrays, CHUNK), flags=int(flags),
        columns=_in_order(shared | _chunk_columns(chunk, prepared)), unscorable=prepared.unscorable,
    )  # fmt: skip
    for number, (pulse, own) in enumerate(zip(prepared.pulses, prepared.pulse_flags, strict=True), 1):
        columns = pulse_columns(chunk.name, chunk.start_ns, chunk.interval_ns, pulse, prepared.windows[number - 1])
        time, time_ns = _time(columns["pulse_ns"])
        named = {"chunk": chunk.id, "pulse": number, "pulse_flags": int(own), "revision": 0}
        yield Item(
            alert=f"{chunk.id}#{number}", object=chunk.name, time=time, time_ns=time_ns,
            content_hash=chunk.content_hash, arrays=_arrays(chunk, arrays, number),
            flags=int(own | flags & ~_OF_PULSES), columns=_in_order(shared | columns | named),
        )  # fmt: skip


def _arrays(chunk: LeelaChunk, arrays: Mapping[str, NDArray[np.float32]], number: int) -> dict[str, NDArray[Any]]:
    """Return the chunk's model input with the number of the pulse that is asked for.

    Every item of a chunk carries all its pulses, since the recurrence runs over them; ``chunk`` tells
    the model which items it can answer at once.
    """
    if not arrays:
        return {}
    return {**arrays, "pulse": np.array(number), "chunk": np.frombuffer(chunk.content_hash, "<i8")}


def _padded(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return arrays with room for as many pulses as a chunk may have: all chunks then share their micro-batches."""
    padded = {}
    for name, array in arrays.items():
        padded[name] = np.zeros((DEFAULT.most_pulses, *array.shape[1:]), array.dtype)
        padded[name][: len(array)] = array
    return padded


def _in_order(columns: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(map(columns.get, _NAMES))


def _shared_columns(chunk: LeelaChunk, prepared: PreparedChunk) -> dict[str, Any]:
    return {
        "site": chunk.site, "node": chunk.node, "start_ns": chunk.start_ns, "interval_ns": chunk.interval_ns,
        "numsmpls": len(chunk.samples), "noise": None if prepared.unscorable else prepared.noise,
    }  # fmt: skip


def _chunk_columns(chunk: LeelaChunk, prepared: PreparedChunk) -> dict[str, Any]:
    return {
        "rx_ns": chunk.rx_ns, "packetinsec": chunk.packet, "energy": chunk.energy, "clipped": chunk.clipped,
        "offset_counts": None if prepared.flags & LeelaFlag.NOT_FINITE else prepared.mean,
        "pulses": len(prepared.pulses), "samples": pack_samples(chunk.samples),
    }  # fmt: skip


def pulse_columns(
    name: str, start_ns: int, interval_ns: float, pulse: Pulse, window: NDArray[np.float32]
) -> dict[str, Any]:
    """Return what a pulse's row says of the pulse itself.

    Parameters
    ----------
    name : str
        Of the site.
    start_ns : int
        Time of the sample that the pulse's indices count as 0.
    interval_ns : float
        Sampling interval.
    pulse : Pulse
        As found.
    window : ndarray
        float32 (window,): band-passed counts around its peak.
    """
    pulse_ns = start_ns + round(pulse.peak_at * interval_ns)
    microseconds = interval_ns / _MICROSECOND_NS
    return {
        "pulse_id": f"{name}-{(pulse_ns + _PULSE_GRID_NS // 2) // _PULSE_GRID_NS}",
        "pulse_ns": pulse_ns, "start_index": pulse.start, "peak_index": pulse.peak, "end_index": pulse.end,
        "polarity": pulse.polarity, "amplitude": pulse.amplitude, "snr": pulse.snr,
        "rise_us": pulse.rise * microseconds, "width_us": (pulse.end - pulse.start) * microseconds,
        "window": np.clip(window, -_LARGEST_HALF, _LARGEST_HALF).astype("<f2").tobytes(),
    }  # fmt: skip


def pack_samples(samples: NDArray[np.float64]) -> bytes:
    """Return samples for the column ``samples``: int16 where that is exact, else float32."""
    if (np.abs(samples) < _INT16).all() and (np.rint(samples) == samples).all():
        return samples.astype("<i2").tobytes()
    return np.clip(samples, -_LARGEST_SINGLE, _LARGEST_SINGLE).astype("<f4").tobytes()


def unpack_samples(packed: bytes, count: int) -> NDArray[np.float64]:
    """Return the samples of a column, of which there are `count`."""
    return np.frombuffer(packed, "<i2" if len(packed) == 2 * count else "<f4").astype(np.float64)


def _time(time_ns: int) -> tuple[datetime, int | None]:
    """Return the time to the microsecond, and the ns; a time that no calendar holds becomes the impossible one."""
    try:
        return _EPOCH + timedelta(microseconds=time_ns // _MICROSECOND_NS), time_ns
    except OverflowError:
        return _IMPOSSIBLE, None

"""ZTF: the Zwicky Transient Facility's alert stream, composed from the layers below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulgor.consumer.settings import Settings
from fulgor.consumer.stream import Item, Record
from fulgor.errors import MalformedError
from fulgor.preprocessing.schemas import SchemaSource, schema_source
from fulgor.preprocessing.sky import healpix_index
from fulgor.preprocessing.ztf import DEFAULT, SEQUENCE_COLUMNS, ZtfAlert, ZtfDecoder, prepare
from fulgor.preprocessing.ztf.alert import sign_of
from fulgor.storage.tables import Column, StreamTable

if TYPE_CHECKING:
    from fulgor.models.serving import LoadedModel

__all__ = ["ZTF"]

_FROM_CANDIDATE = (
    Column("field", "int4", "ZTF field"),
    Column("rcid", "int4", "Readout channel, 0 to 63"),
    Column("magpsf", "float4", "Magnitude from PSF fit, AB"),
    Column("sigmapsf", "float4", "1-sigma error of magpsf, mag"),
    Column("diffmaglim", "float4", "5-sigma limit of the difference image, AB mag"),
    Column("magnr", "float4", "Magnitude of the nearest source in the reference image, AB"),
    Column("distnr", "float4", "Distance to the nearest source in the reference image, pixels"),
    Column("rb", "float4", "The survey's real/bogus score"),
    Column("drb", "float4", "The survey's deep-learning real/bogus score"),
    Column("sgscore1", "float4", "Star/galaxy score of the nearest PS1 source, 1 is a star"),
    Column("distpsnr1", "float4", "Distance to the nearest PS1 source, arcsec"),
    Column("ndethist", "int4", "Detections at this position so far"),
    Column("ncovhist", "int4", "Times that this position was observed so far"),
    Column("ssdistnr", "float4", "Distance to the nearest known solar-system object, arcsec"),
    Column("ssnamenr", "text", "Name of that object"),
)
_COLUMNS = (
    Column("candid", "int8", "The alert's id"),
    Column("jd", "float8", "Julian date of the exposure's start, UTC"),
    Column("fid", "int2", "Filter: 1 g, 2 r, 3 i"),
    Column("programid", "int2", "1 public, 2 partnership, 3 Caltech"),
    Column("ra", "float8", "Right ascension J2000, deg"),
    Column("dec", "float8", "Declination J2000, deg"),
    Column("healpix", "int8", "HEALPix index of (ra, dec), order 29, nested"),
    Column("isdiffpos", "bool", "True if the difference is positive"),
    *_FROM_CANDIDATE,
    Column("schemavsn", "text", "Schema version that the packet states"),
)

_UNIX_EPOCH_JD = 2440587.5
_MICROSECONDS_PER_DAY = 86_400_000_000
# Stands for a time that no calendar holds; such rows lie in the default partition.
_IMPOSSIBLE = datetime(1, 1, 1, tzinfo=UTC)


class ZTF:
    """The ZTF stream.

    Parameters
    ----------
    settings : Settings
        Of them: where schemas of Confluent-framed messages are found.
    """

    name = "ztf"
    table = StreamTable("ztf", "alerts", _COLUMNS)
    default_topic = "^ztf_[0-9]{8}_programid1$"
    default_model = Path(__file__).resolve().parents[1] / "models" / "shipped" / "ztf"

    def __init__(self, settings: Settings) -> None:
        source: SchemaSource | None = schema_source(settings.schemas) if settings.schemas else None
        self._decoder = ZtfDecoder(source)
        self.preprocessing_hash = DEFAULT.content_hash
        healpix_index(0.0, 0.0)  # its first call imports astropy: not while the first alert waits

    def decode(self, value: bytes) -> Sequence[Record | MalformedError]:
        """Return the alerts of a message, each decoded or an error of its own."""
        return self._decoder(value)

    def prepare(self, record: Record) -> Sequence[Item]:
        """Return the one item of an alert."""
        assert isinstance(record, ZtfAlert)  # noqa: S101 - what decode gave
        prepared = prepare(record)
        time, time_ns = _time(record.jd)
        return [
            Item(
                alert=str(record.candid),
                object=record.object_id,
                time=time,
                time_ns=time_ns,
                content_hash=record.content_hash,
                arrays=prepared.arrays,
                flags=int(prepared.flags),
                columns=_columns(record),
                unscorable=prepared.unscorable,
                step_times=prepared.times,
            )
        ]

    def earlier(self, item: Item) -> list[datetime | None]:
        """Return when the earlier detections of an item's sequence were: only these can have been alerts."""
        assert item.step_times is not None  # noqa: S101 - what prepare gave
        detected = item.arrays["sequence"][:-1, SEQUENCE_COLUMNS.index("is_detection")].astype(bool).tolist()
        steps = zip(item.step_times[:-1].tolist(), detected, strict=True)
        return [_time(jd)[0] if is_detection else None for jd, is_detection in steps]

    def load_model(self, folder: Path, device: str, threads: int) -> LoadedModel:
        """Load a model of this stream, ready to run."""
        from fulgor.models.serving import load

        return load(folder, device, threads=threads)


def _columns(alert: ZtfAlert) -> tuple[Any, ...]:
    return (
        alert.candid, alert.jd, alert.fid, alert.programid, alert.ra, alert.dec,
        healpix_index(alert.ra, alert.dec), _is_positive(alert),
        *(alert.candidate.get(column.name) for column in _FROM_CANDIDATE), alert.schemavsn,
    )  # fmt: skip


def _is_positive(alert: ZtfAlert) -> bool | None:
    sign = sign_of(alert.candidate.get("isdiffpos"))
    return sign > 0 if sign else None


def _time(jd: float) -> tuple[datetime, int | None]:
    """Return a Julian date as a datetime and in nanoseconds; a double holds it to some 40 microseconds."""
    microseconds = round((jd - _UNIX_EPOCH_JD) * _MICROSECONDS_PER_DAY)
    try:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return _IMPOSSIBLE, None
    nanoseconds = microseconds * 1000
    return time, nanoseconds if abs(nanoseconds) < 2**63 else None

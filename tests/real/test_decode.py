"""Real alerts of every schema version, and the malformed ones with the outcome of each."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path
from typing import Any

import fastavro
import pytest

from fulgor.errors import MalformedError, NotThisStreamError
from fulgor.preprocessing.container import split_blocks
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder, ZtfFlag, prepare
from fulgor.preprocessing.ztf.alert import CANDIDATE_FIELDS

pytestmark = pytest.mark.real

LABELLED, UNLABELLED = 796, 605


def _listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_listed_alert_is_found_at_its_place(shared: Path, decoded: dict[Path, list[Any]]) -> None:
    for name, folder, count in (
        ("ztf/labels.csv", "ztf", LABELLED),
        ("ztf_unlabelled/alerts.csv", "ztf_unlabelled", UNLABELLED),
    ):
        rows = _listed(shared / "data" / name)
        assert len(rows) == count
        for row in rows:
            alert = decoded[shared / "data" / folder / row["file"]][int(row["rec"])]
            assert isinstance(alert, ZtfAlert), row["file"]
            assert (alert.candid, alert.object_id, alert.fid) == (int(row["candid"]), row["objectId"], int(row["fid"]))
            assert alert.jd == pytest.approx(float(row["jd"]), abs=0.01)


def test_no_real_alert_is_refused(decoded: dict[Path, list[Any]]) -> None:
    rows = [row for rows in decoded.values() for row in rows]
    assert Counter(type(row).__name__ for row in rows) == {"ZtfAlert": LABELLED + UNLABELLED}


def _expected(value: Any) -> Any:
    if isinstance(value, float) and (not math.isfinite(value) or value == -999.0):
        return None
    return None if value in ("null", "") else value


def _same(found: float, expected: float | None) -> bool:
    return math.isnan(found) if _expected(expected) is None else found == expected


def test_every_field_equals_fastavros(decoded: dict[Path, list[Any]]) -> None:
    compared = 0
    for path, alerts in decoded.items():
        with path.open("rb") as file:
            records = list(fastavro.reader(file))
        assert len(records) == len(alerts)
        for record, alert in zip(records, alerts, strict=True):
            theirs = record["candidate"]
            wanted = {name: _expected(theirs[name]) for name in CANDIDATE_FIELDS if name in theirs}
            assert dict(alert.candidate) == wanted
            for name, cutout in zip(("Science", "Template", "Difference"), alert.cutouts, strict=True):
                assert cutout == record[f"cutout{name}"]["stampData"]
            earlier = record["prv_candidates"] or []
            assert len(earlier) == len(alert.history)
            for entry, step in zip(earlier, alert.history, strict=True):
                for name in ("jd", "magpsf", "sigmapsf", "diffmaglim"):
                    assert _same(float(step[name]), entry[name])
            compared += 1
    assert compared == LABELLED + UNLABELLED


def test_split_containers_hold_the_same_alerts(decoded: dict[Path, list[Any]]) -> None:
    decoder = ZtfDecoder()
    blocks = 0
    for path, alerts in decoded.items():
        if len(alerts) == 1:
            continue
        with path.open("rb") as file:
            parts = list(split_blocks(file))
        blocks += len(parts)
        again = [alert for part in parts for alert in decoder(part)]
        assert [alert.content_hash for alert in again if isinstance(alert, ZtfAlert)] == [
            a.content_hash for a in alerts
        ]
    assert blocks > 100


def test_content_hashes_tell_alerts_apart(alerts: list[ZtfAlert]) -> None:
    by_hash: dict[bytes, set[int]] = {}
    for alert in alerts:
        by_hash.setdefault(alert.content_hash, set()).add(alert.candid)
    assert all(len(candids) == 1 for candids in by_hash.values())


# File name's start, what it becomes: the reason of the dead letter, or the flags of the row.
OUTCOMES: dict[str, tuple[type[MalformedError] | None, str]] = {
    "atlas_valid__02a59543o0040o_006230": (NotThisStreamError, "no candidate.jd, candidate.fid"),
    "bad_default_turbo__1": (MalformedError, "Default value <None> must match schema type: int"),
    "bad_default_winter__2459303860000": (MalformedError, "Default value <None> must match schema type: int"),
    "bad_default_winter__2459303860001": (MalformedError, "Default value <None> must match schema type: int"),
    "confluent_framed_lsst__25409136044802067": (
        MalformedError,
        "Confluent wire format with schema id 701, but neither",
    ),
    "confluent_framed_lsst__7912941781254298": (
        MalformedError,
        "Confluent wire format with schema id 900, but neither",
    ),
    "crlf_damaged__516401801315010009": (MalformedError, "1 byte missing in block 0"),
    "crlf_damaged__516442805615015004": (MalformedError, "1 byte missing in block 0"),
    "crlf_damaged__516476004815015005": (MalformedError, "1 byte missing in block 0"),
    "empty___SUCCESS": (MalformedError, "an empty message"),
    "git_lfs_pointer__alerts_11574": (MalformedError, "a git LFS pointer"),
    "header_damaged_sim__test_alerts_Ia_Hsiao_v2_51": (MalformedError, "8 bytes missing in block 0"),
    "ipac_damaged__121540793515135009": (MalformedError, "1 byte missing in block 0"),
    "jpeg_stamps__121540793515135000": (None, "JPEG_STAMP"),
    "jpeg_stamps__121540793515135001": (None, "JPEG_STAMP"),
    "lsst_ocf_v10__fakeAlert": (NotThisStreamError, "no objectId, candidate"),
    "pgir_valid__114297926": (NotThisStreamError, "'PGIR19aacbvv'"),
    "schemaless_lsst__fakeAlert": (MalformedError, "a bare Avro record"),
    "winter_valid__3608694": (NotThisStreamError, "no objectId"),
    "ztf_no_stamps_ampel_reprocessed__ZTF20abyfpze": (None, "MISSING_STAMP"),
}


def _outcome(value: bytes) -> ZtfAlert | MalformedError:
    try:
        (row,) = ZtfDecoder()(value)
    except MalformedError as error:
        return error
    return row


@pytest.mark.parametrize("stem", OUTCOMES)
def test_the_outcome_of_each_malformed_file(shared: Path, stem: str) -> None:
    (path,) = (shared / "data/ztf/malformed").glob(f"{stem}*")
    row = _outcome(path.read_bytes())
    kind, text = OUTCOMES[stem]
    if kind is not None:
        assert type(row) is kind, row
        assert text in row.reason
        return
    assert isinstance(row, ZtfAlert)
    prepared = prepare(row)
    assert ZtfFlag[text] in prepared.flags
    assert prepared.unscorable is not None


def test_each_malformed_file_has_an_outcome(shared: Path) -> None:
    files = [path.name.removesuffix(".avro") for path in (shared / "data/ztf/malformed").iterdir()]
    assert sorted(files) == sorted(OUTCOMES)
    assert len(files) == 20


def test_a_packet_that_lost_bytes_is_refused(ztf_files: list[Path]) -> None:
    whole = ztf_files[0].read_bytes()
    for size in range(0, len(whole), 1009):
        assert isinstance(_outcome(whole[:size]), MalformedError)
        assert isinstance(_outcome(whole[:size] + whole[size + 1 :]), MalformedError)

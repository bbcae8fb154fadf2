from __future__ import annotations

import csv
import io

import fastavro
import pytest
from fulldisk import full_beyond

from fulgor.errors import DiskFullError, SettingsError
from fulgor.replay.archive import open_archive
from fulgor.replay.simulate.ztf import encode, simulate, write_archive
from fulgor.replay.simulate.ztf.topic import as_archive


def test_folder_of_bounded_containers_with_labels(tmp_path):
    alerts = list(simulate(40, 6))
    summary = write_archive(iter(alerts), tmp_path / "new" / "folder", max_bytes=400_000)
    files = sorted((tmp_path / "new" / "folder").glob("*.avro"))
    assert summary.alerts == 40
    assert summary.files == len(files) > 3
    assert summary.bytes == sum(file.stat().st_size for file in files)
    assert all(file.stat().st_size <= 400_000 for file in files)
    with summary.labels.open() as table:
        rows = list(csv.DictReader(table))
    assert [row["label"] for row in rows] == [alert.label for alert in alerts]
    content = {file.name: list(fastavro.reader(io.BytesIO(file.read_bytes()))) for file in files}
    for row, alert in zip(rows, alerts, strict=True):
        record = content[row["file"]][int(row["rec"])]
        assert record["candid"] == int(row["candid"]) == alert.record["candid"]
        assert record["objectId"] == row["objectId"]
        assert record["candidate"]["jd"] == float(row["jd"])


def test_one_file_holds_everything(tmp_path):
    summary = write_archive(simulate(9, 6), tmp_path / "night.avro", max_bytes=1)
    assert summary.files == 1
    assert summary.labels == tmp_path / "night.labels.csv"
    messages = list(open_archive(tmp_path / "night.avro"))
    assert [message.value for message in messages] == [encode(alert.record for alert in simulate(9, 6))]


def test_nothing_is_overwritten(tmp_path):
    write_archive(simulate(2, 1), tmp_path)
    with pytest.raises(SettingsError, match="files already"):
        write_archive(simulate(2, 1), tmp_path)
    with pytest.raises(SettingsError, match="exists already"):
        write_archive(simulate(2, 1), next(tmp_path.glob("*.avro")))


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SettingsError, match="taken"):
        write_archive(simulate(2, 1), tmp_path / "taken")


def test_empty_container_is_a_container():
    assert list(fastavro.reader(io.BytesIO(encode([])))) == []


def test_simulation_read_as_an_archive():
    archive = as_archive(lambda: simulate(5, 2), 5)
    for _ in range(2):  # as often as wanted
        messages = list(archive)
        assert [message.value for message in messages] == [encode([alert.record]) for alert in simulate(5, 2)]
    assert [message.name for message in messages] == [f"{alert.record['candid']}.avro" for alert in simulate(5, 2)]
    assert messages[0].time_ms == pytest.approx((next(simulate(5, 2)).jd - 2_440_587.5) * 86_400_000, abs=1)
    assert archive.largest is None


def test_a_full_disk_leaves_whole_containers(tmp_path):
    alerts = list(simulate(4, 3))
    size = len(encode([alerts[0].record]))
    with full_beyond(int(1.5 * size)), pytest.raises(DiskFullError, match="make room"):
        write_archive(alerts, tmp_path / "one")
    assert list((tmp_path / "one").glob("*avro*")) == []
    write_archive(alerts, tmp_path / "many", max_bytes=int(1.5 * size))
    assert len(list((tmp_path / "many").glob("*.avro"))) == 4

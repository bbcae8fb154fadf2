from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from fulgor.errors import ArchiveError, SettingsError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES
from fulgor.replay.labelled import labelled_alerts
from fulgor.replay.simulate.ztf import simulate, write_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "night"
    write_archive(simulate(count=12, seed=8), folder / "one")
    shutil.copytree(folder / "one", folder / "two")
    (folder / "one" / "labels.csv").rename(folder / "labels.csv")
    (folder / "broken.avro").write_bytes(b"Obj\x01 and no more")
    return folder


def test_each_alert_of_the_table_once(archive: Path, tmp_path: Path) -> None:
    left_out: Counter[str] = Counter()
    told: list[tuple[int, int | None]] = []
    found = list(labelled_alerts(archive, left_out=left_out, progress=lambda *done: told.append(done)))
    assert len(found) == 12
    assert left_out == {"malformed": 1, "repeated": 12}
    assert {row.origin for row in found} == {"one"}
    assert told[-1][0] == len(told)
    lines = (archive / "labels.csv").read_text().splitlines()
    names = lines[0].split(",")
    row = dict(zip(names, lines[1].split(","), strict=True))
    table = tmp_path / "some.csv"
    table.write_text(f"candid,label,origin\n{row['candid']},,survey\n1,SN,survey\n2,SN,survey\n")
    left_out.clear()
    (only,) = labelled_alerts(archive, table, left_out=left_out)
    assert (str(only.alert.candid), only.label, only.origin) == (row["candid"], None, "survey")
    assert left_out == {"malformed": 1, "repeated": 1, "not in the table": 22, "not in the archive": 2}


def test_an_archive_that_is_absent_or_damaged_is_named(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="nowhere: cannot be read"):
        list(labelled_alerts(tmp_path / "nowhere"))
    shutil.copytree(archive, tmp_path / "night")
    (tmp_path / "night" / "large.avro").write_bytes(bytes(MESSAGE_MAX_BYTES + 1))
    with pytest.raises(ArchiveError, match=r"large\.avro: 16777217 bytes are more than a message may have"):
        list(labelled_alerts(tmp_path / "night"))


def test_tables_that_cannot_be_used(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"labels\.csv cannot be read"):
        list(labelled_alerts(archive / "one"))
    table = tmp_path / "labels.csv"
    table.write_text("id,kind\n1,SN\n")
    with pytest.raises(SettingsError, match="has no column alert or candid, label"):
        list(labelled_alerts(archive, table))
    table.write_text("candid,label\n1,SN\n")
    with pytest.raises(ArchiveError, match="none of the 1 alerts"):
        list(labelled_alerts(archive, table))

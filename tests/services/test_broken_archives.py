"""``fulgor consume ztf --archive`` of what is cut, empty or gone: what is kept of it, and how it is told."""

from __future__ import annotations

import gzip
import io
import logging
import os
import signal
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulgor.cli.app import app
from fulgor.consumer.messages import Partition
from fulgor.errors import ArchiveError
from fulgor.models.card import read_card
from fulgor.models.serving import SHIPPED
from fulgor.replay.simulate.ztf import encode, simulate
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.dead import list_dead, load_dead
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.storage.registry import register_model
from fulgor.streams.ztf import ZTF

pytestmark = pytest.mark.services

ALERTS = [encode([alert.record]) for alert in simulate(3, 23)]
CUT = ALERTS[0][: len(ALERTS[0]) // 2]


@pytest.fixture
def tables(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FULGOR_DATABASE", database)
    with connect(database, vectors=False) as connection:
        migrate(connection, [ZTF.table])
    return database


def consume(archive: Path) -> None:
    result = CliRunner().invoke(app, ["consume", "ztf", "--archive", str(archive)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def dead(database: str) -> list[tuple[str, bytes]]:
    with connect(database) as connection:
        ids = [letter.dead_id for letter in list_dead(connection)]
        letters = load_dead(connection, sorted(ids)) if ids else []
    return [(letter.reason, letter.message.value or b"") for letter in letters]


def stored(database: str) -> int:
    with connect(database) as connection:
        report = check(connection)
    assert report.closed
    return sum(account.stored for account in report.accounts)


@pytest.mark.parametrize(("content", "reason"), [(CUT, "truncated in block 0"), (b"", "an empty message")])
def test_a_lone_broken_file_is_kept_as_a_dead_letter_and_leaves_with_code_9(
    tmp_path: Path, tables: str, content: bytes, reason: str
) -> None:
    path = tmp_path / "1.avro"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"1\.avro: nothing that was read became a row, 1 dead letters; 'fulgor"):
        consume(path)
    [(told, value)] = dead(tables)
    assert told.startswith(reason)
    assert value == content
    assert stored(tables) == 0


def test_broken_files_among_good_ones_cost_nobody_else_and_are_told(
    tmp_path: Path, tables: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"1": ALERTS[1], "2": CUT, "3": b"", "4": ALERTS[2]}.items():
        (tmp_path / f"{name}.avro").write_bytes(value)
    with caplog.at_level(logging.INFO):
        consume(tmp_path)
    assert caplog.messages[-1].endswith("2 stored, 0 duplicates, 2 dead letters; 'fulgor dead list' says why")
    assert [value for _, value in dead(tables)] == [CUT, b""]
    assert stored(tables) == 2


def test_a_tarball_that_is_cut_gives_what_is_whole_each_time_with_code_9(tmp_path: Path, tables: str) -> None:
    path, file = tmp_path / "night.tar.gz", io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number, value in enumerate(ALERTS):
            info = tarfile.TarInfo(f"{number}.avro")
            info.size = len(value)
            tar.addfile(info, io.BytesIO(value))
    whole = gzip.compress(file.getvalue(), compresslevel=1)
    path.write_bytes(whole[: len(whole) * 3 // 5])
    for _ in range(2):
        with pytest.raises(ArchiveError, match=r"night\.tar\.gz: the gzip stream is cut"):
            consume(path)
        assert stored(tables) == 1
    assert dead(tables) == []
    path.write_bytes(whole)  # the copying went on: another content, of which the first is known
    consume(path)
    assert stored(tables) == 3


def test_a_file_that_vanishes_while_others_are_read_ends_with_code_9_and_keeps_what_came_before(
    tmp_path: Path, tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, value in enumerate(ALERTS):
        (tmp_path / f"{number}.avro").write_bytes(value)
    assign = ArchiveSource.assign

    def take_away(self: ArchiveSource, offsets: Mapping[Partition, int]) -> None:
        (tmp_path / "2.avro").unlink()
        assign(self, offsets)

    monkeypatch.setattr(ArchiveSource, "assign", take_away)
    with pytest.raises(ArchiveError, match=r"2\.avro: cannot be read: No such file"):
        consume(tmp_path)
    assert stored(tables) == 2


@pytest.mark.parametrize("command", ["consume", "rescore"])
def test_a_run_that_is_stopped_before_the_end_leaves_with_130_and_goes_on(
    tmp_path: Path, tables: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    for number, value in enumerate(ALERTS):
        (tmp_path / f"{number}.avro").write_bytes(value)
    words = ["consume", "ztf"] if command == "consume" else ["replay", "rescore", "ztf", "--everything"]
    if command == "rescore":
        with connect(tables) as connection:
            register_model(connection, read_card(SHIPPED / "ztf"))
    poll = ArchiveSource.poll

    def stopped(self: ArchiveSource, timeout_s: float) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return poll(self, timeout_s)

    with monkeypatch.context() as during, caplog.at_level(logging.INFO):
        during.setattr("fulgor.replay.source.MESSAGES_A_POLL", 1)
        during.setattr(ArchiveSource, "poll", stopped)
        result = CliRunner().invoke(app, [*words, "--archive", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 130
    assert any(message.startswith("stopped before the end, where the same") for message in caplog.messages)
    assert stored(tables) < 3
    result = CliRunner().invoke(app, [*words, "--archive", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert stored(tables) == 3

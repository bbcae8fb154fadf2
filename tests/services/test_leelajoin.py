"""The join job: seams of real chunks are revised alike whatever the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fulgor.consumer.consume import Consumption, consume
from fulgor.consumer.settings import Settings
from fulgor.models.serving import SHIPPED
from fulgor.replay.archive import open_archive
from fulgor.replay.simulate.messages import as_archive
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.ledger import check
from fulgor.storage.migrate import migrate
from fulgor.streams.leela import LEELA
from fulgor.streams.leelajoin import join_chunks

pytestmark = [pytest.mark.services, pytest.mark.real]

ROWS = """SELECT alert, pulse_id, pulse_ns, start_index, peak_index, end_index, polarity, amplitude, snr, rise_us,
    width_us, "window", pulse_flags, revision FROM fulgor.leela_pulses ORDER BY alert"""


def take_in(values: Sequence[bytes], database: str, group: str) -> None:
    settings = Settings()
    stream = LEELA(settings)
    what = Consumption(stream, stream.load_model(SHIPPED / "leela", "cpu", 1), database, group)
    archive = as_archive(lambda: ((str(number), value) for number, value in enumerate(values)), len(values))
    consume(what, lambda: ArchiveSource(archive), settings, title="leela", until_end=True)


def fresh(database: str) -> None:
    with connect(database, vectors=False) as connection:
        connection.execute("DROP SCHEMA IF EXISTS fulgor CASCADE")
        migrate(connection, [LEELA.table])


def test_what_a_seam_becomes_does_not_depend_on_the_order(database: str, shared: Path):
    values = [message.value for message in open_archive(shared / "data" / "leela" / "akrotiri_202302131710.npy")][:160]
    fresh(database)
    take_in(values, database, "forwards")
    with connect(database) as connection:
        before = {row[0]: row for row in connection.execute(ROWS)}
        said = join_chunks(connection)
        forwards = connection.execute(ROWS).fetchall()
        again = join_chunks(connection)
        revisions = [row[-1] for row in forwards]
        assert connection.execute(ROWS).fetchall() == forwards
        report = check(connection)
        edges = connection.execute("SELECT indexname FROM pg_indexes WHERE indexname = 'leela_open_edge'").fetchall()
    assert again.startswith("0 seams")
    assert edges == [("leela_open_edge",)]
    assert revisions.count(1) > 5, said
    assert report.closed
    assert not report.findings
    for row in forwards:
        if row[-1] == 0:
            assert row == before[row[0]]
        if row[-1] == 1:  # a pulse is moved by less than the separation of two
            assert abs(row[2] - before[row[0]][2]) < 300_000
    fresh(database)
    backwards = values[::-1]
    for number, part in enumerate((backwards[:70], backwards[70:110], backwards[110:])):
        take_in(part, database, f"part{number}")
        with connect(database) as connection:
            join_chunks(connection)
    with connect(database) as connection:
        assert connection.execute(ROWS).fetchall() == forwards

"""The location job: simulated pulses of many sites become strokes, alike whatever the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fulgor.consumer.consume import Consumption, consume
from fulgor.consumer.settings import Settings
from fulgor.models.serving import SHIPPED
from fulgor.preprocessing.leela.geodesy import distance_m
from fulgor.replay.chunks import encode_chunks
from fulgor.replay.simulate.leela import SimulatedChunk, simulate
from fulgor.replay.simulate.leela.network import NETWORK
from fulgor.replay.simulate.messages import as_archive
from fulgor.replay.source import ArchiveSource
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.leela import LEELA
from fulgor.streams.leelastrokes import locate_strokes

pytestmark = pytest.mark.services

NODES = {site.node.node: site.node for site in NETWORK}
STROKES = (
    "SELECT stroke, time_ns, lat, lon, sites, ambiguous, events, method, pulses FROM fulgor.leela_strokes ORDER BY 1"
)
VERSION = "SELECT max(version) FROM fulgor.migration WHERE component = 'leela-strokes'"
DUE = "SELECT count(*) FROM fulgor.leela_stroke_block WHERE due"
NEWS = "UPDATE fulgor.leela_alert SET stored_at = stored_at + interval '1 minute'"
LONG_AGO = "UPDATE fulgor.leela_alert SET stored_at = stored_at - interval '5 minutes'"
OLD = "UPDATE fulgor.leela_alert SET stored_at = stored_at - interval '11 seconds'"


def take_in(chunks: Sequence[SimulatedChunk], database: str, group: str) -> None:
    settings = Settings()
    stream = LEELA(settings)
    what = Consumption(stream, stream.load_model(SHIPPED / "leela", "cpu", 1), database, group)
    values = [encode_chunks([chunk.record]) for chunk in chunks]
    archive = as_archive(lambda: ((str(number), value) for number, value in enumerate(values)), len(values))
    consume(what, lambda: ArchiveSource(archive), settings, title="leela", until_end=True)


def fresh(database: str) -> None:
    with connect(database, vectors=False) as connection:
        connection.execute("DROP SCHEMA IF EXISTS fulgor CASCADE")
        migrate(connection, [LEELA.table])


def test_strokes_are_located_alike_in_any_order_and_late_pulses_revise_them(database: str):
    chunks = list(simulate(260, 31, site_count=11))
    truth = {a.discharge.id: a.discharge for chunk in chunks for a in chunk.seen}
    fresh(database)
    take_in(chunks, database, "forwards")
    with connect(database) as connection:
        connection.execute(NEWS)  # it has not been silent for long, however slow this machine is
        waiting = locate_strokes(connection, NODES)
        assert connection.execute(DUE).fetchone() != (0,)  # the network is not ahead of the last block yet
        connection.execute(LONG_AGO)  # as when the round itself took so long
        said = locate_strokes(connection, NODES)
        forwards = connection.execute(STROKES).fetchall()
        assert connection.execute(VERSION).fetchall() == [(2,)]
        assert connection.execute(DUE).fetchone() == (0,)
        assert locate_strokes(connection, NODES).startswith("0 blocks"), (waiting, said)
        assert connection.execute(STROKES).fetchall() == forwards
    sure = [row for row in forwards if not row[5]]
    assert len(sure) > 2, said
    errors = []
    for _, time_ns, lat, lon, *_ in sure:
        near = [d for d in truth.values() if abs(d.time_ns - time_ns) < 300_000]
        errors.append(min((float(distance_m(lat, lon, d.lat, d.lon)) for d in near), default=np.inf))
    assert np.median(errors) < 10_000
    used = [alert for row in forwards for alert in row[8]]
    assert len(used) == len(set(used))
    fresh(database)
    halfway = []
    for number, part in enumerate((chunks[::-1][:130], chunks[::-1][130:])):
        take_in(part, database, f"part{number}")
        with connect(database) as connection:
            connection.execute(OLD)
            locate_strokes(connection, NODES)
            halfway.append(connection.execute(STROKES).fetchall())
    assert halfway[0] != forwards
    assert halfway[1] == forwards


def test_without_tables_there_is_nothing_to_locate(database: str):
    with connect(database, vectors=False) as connection:
        assert locate_strokes(connection, NODES) == "no LEELA tables"

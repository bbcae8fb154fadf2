"""Who is in a message, as the index of a recording has it."""

from __future__ import annotations

import pytest

from fulgor.consumer.settings import Settings
from fulgor.errors import MalformedError
from fulgor.replay.chunks import encode_chunks
from fulgor.replay.record.identify import identify_by
from fulgor.replay.simulate.leela import simulate
from fulgor.streams.leela import LEELA


class Preparing:
    """A stream that offers nothing but what each has to."""

    def __init__(self, stream: LEELA) -> None:
        self.decode, self.prepare = stream.decode, stream.prepare


class Refusing(Preparing):
    """The same, but the second record that it is given can become no row."""

    def __init__(self, stream: LEELA) -> None:
        super().__init__(stream)
        self.given = 0
        self.prepare = self._prepare
        self._able = stream.prepare

    def _prepare(self, record: object) -> object:
        self.given += 1
        if self.given == 2:
            raise MalformedError("no row")
        return self._able(record)


def test_what_a_stream_offers_agrees_with_its_rows(monkeypatch: pytest.MonkeyPatch):
    stream = LEELA(Settings())
    value = encode_chunks([chunk.record for chunk in simulate(3, 5)])
    rows = identify_by(Preparing(stream))(value)
    assert identify_by(Refusing(stream))(value) == [one for one in rows if one.record != 1]
    monkeypatch.setattr(LEELA, "prepare", None)  # not needed
    found = identify_by(stream)(value)
    chunks = [row for row in rows if "#" not in row.alert]
    assert [(one.alert, one.object, one.record) for one in found] == [(o.alert, o.object, o.record) for o in chunks]
    assert [one.time_ms for one in found] == pytest.approx([one.time_ms for one in chunks], abs=1)
    assert [one.record for one in found] == [0, 1, 2]
    assert identify_by(stream)(b"Obj\x01 and no more") == []

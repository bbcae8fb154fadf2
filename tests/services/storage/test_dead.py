from dataclasses import replace

import pytest

from fulgor.errors import FulgorError
from fulgor.storage.dead import list_dead, load_dead

pytestmark = pytest.mark.services


@pytest.fixture
def graves(toy):
    """Three malformed messages and a row that the database refuses; the first is a row by now."""
    letters = [toy.dead(0), toy.dead(1, 2, records=4), replace(toy.dead(2), error_class="OtherError", stage="schema")]
    toy.write([toy.result(3, object="\x00")], letters, next_offset=4)
    toy.writer.redrive(replace(toy.batch([toy.result(0)], next_offset=4), runs=[]))
    return toy


def test_the_latest_first(graves):
    found = list_dead(graves.connection)
    assert [row.offset for row in found] == [3, 2, 1]
    assert (found[0].stage, found[0].bytes, found[0].topic, found[0].group) == ("database", 7, "topic", "g")


@pytest.mark.parametrize(
    ("filters", "offsets"),
    [
        ({"error_class": "OtherError"}, [2]),
        ({"stage": "container"}, [1]),
        ({"stream": "elsewhere"}, []),
        ({"status": "redriven"}, [0]),
        ({"status": None}, [3, 2, 1, 0]),
        ({"limit": 1}, [3]),
        ({"stage": "container", "error_class": "OtherError"}, []),
    ],
)
def test_filters(graves, filters, offsets):
    assert [row.offset for row in list_dead(graves.connection, **filters)] == offsets


def test_with_messages(graves):
    found = load_dead(graves.connection, error_class="MalformedError")
    assert [(row.at, row.stream, row.partition) for row in found] == [(graves.at(1, 2, records=4), "toy", 0)]
    assert found[0].message.value == b"bytes 1"
    assert list(found[0].message.headers) == [("k", b"v")]
    assert found[0].message.timestamp_ms == 1_700_000_000_000


def test_pages(graves):
    first = load_dead(graves.connection, limit=2)
    second = load_dead(graves.connection, limit=2, after=first[-1].dead_id)
    assert [row.at.offset for row in (*first, *second)] == [1, 2, 3]


def test_by_id_whatever_the_status(graves):
    ids = [row.dead_id for row in list_dead(graves.connection, status=None)]
    assert [row.at.offset for row in load_dead(graves.connection, ids)] == [0, 1, 2, 3]
    with pytest.raises(FulgorError, match="no dead letter 1000998, 1000999"):
        load_dead(graves.connection, [ids[0], 1000999, 1000998])


def test_a_message_without_a_value(graves):
    batch = graves.batch((), [graves.dead(4)], next_offset=5)
    raw = replace(batch.messages[graves.claim.feed_id, 4], value=None, headers=[("n", None)])
    graves.writer.write(replace(batch, messages={(graves.claim.feed_id, 4): raw}))
    (found,) = load_dead(graves.connection, [list_dead(graves.connection)[0].dead_id])
    assert (found.message.value, list(found.message.headers)) == (None, [("n", None)])
    assert list_dead(graves.connection)[0].bytes is None

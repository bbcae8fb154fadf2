"""What becomes of models, and that consumers are told."""

import pytest

from fulgor.errors import ModelError
from fulgor.models.store import LARGEST_MODEL
from fulgor.storage.database import connect
from fulgor.storage.lifecycle import CHANNEL, history, promote, retire, rollback, shadow
from fulgor.storage.modelfiles import has_files, read_files, write_files
from fulgor.storage.registry import get_model, live_model, register_model

pytestmark = pytest.mark.services


@pytest.fixture
def models(toy):
    """Three models: the first is live."""
    cards = [toy.card | {"name": f"toy-{n}", "hash": letter * 16} for n, letter in ((2, "c"), (3, "d"))]
    ids = [toy.model_id, *(register_model(toy.connection, card) for card in cards)]
    return toy.connection, [get_model(toy.connection, model_id) for model_id in ids]


def statuses(connection):
    rows = connection.execute("SELECT name, status FROM fulgor.model ORDER BY model_id").fetchall()
    return [status for _, status in rows]


def test_promote_retires_the_one_of_before(models):
    connection, (_, second, _) = models
    assert promote(connection, second, note="better").status == "live"
    assert statuses(connection) == ["retired", "live", "candidate"]
    event = history(connection, "toy")[-1]
    assert (event.name, event.action, event.status, event.note) == ("toy-2", "promote", "live", "better")
    assert event.done_by


def test_promote_may_keep_it_in_the_shadow(models):
    connection, (_, second, _) = models
    promote(connection, second, keep_shadow=True)
    assert statuses(connection) == ["shadow", "live", "candidate"]


def test_rollback_goes_back_one_by_one_and_not_further(models):
    connection, (first, second, third) = models
    promote(connection, second)
    promote(connection, third)
    assert rollback(connection, "toy").name == second.name
    assert rollback(connection, "toy").name == first.name
    with pytest.raises(ModelError, match=r"nothing to roll back to: toy-1 .* is the first model that was live"):
        rollback(connection, "toy")
    promote(connection, third)
    assert rollback(connection, "toy").name == first.name
    assert statuses(connection) == ["live", "retired", "retired"]


def test_what_makes_no_sense_is_refused(models):
    connection, (first, second, _) = models
    for change in (promote, shadow):
        with pytest.raises(ModelError, match="is live already"):
            change(connection, first)
    with pytest.raises(ModelError, match="promote another one in its place"):
        retire(connection, first)
    shadow(connection, second)
    with pytest.raises(ModelError, match="in the live one's shadow already"):
        shadow(connection, second)
    retire(connection, second)
    with pytest.raises(ModelError, match="is retired already"):
        retire(connection, second)
    assert live_model(connection, "toy") == first


def test_consumers_are_told_of_a_change_and_of_nothing_else(models):
    connection, (first, second, _) = models
    with connect(connection.info.dsn + f" password={connection.info.password}") as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        with pytest.raises(ModelError):
            promote(connection, first)
        promote(connection, second)
        told = [note.payload for note in listening.notifies(timeout=60, stop_after=1)]
    assert told == ["toy"]


def test_files_come_back_as_they_went(models):
    connection, (first, second, _) = models
    files = {"card.json": b"{}", "weights": bytes(range(256)) * 50}
    assert not has_files(connection, first.model_id)
    write_files(connection, first.model_id, {"old": b"x"})
    write_files(connection, first.model_id, files)
    assert read_files(connection, first.model_id) == files
    assert read_files(connection, second.model_id) == {}


def test_files_that_are_too_large(models):
    class Huge(bytes):
        def __len__(self):
            return LARGEST_MODEL + 1

    connection, (first, *_) = models
    with pytest.raises(ModelError, match="at most"):
        write_files(connection, first.model_id, {"weights": Huge()})

from threading import Barrier, Thread

import pytest

from fulgor.errors import ModelError, SchemaVersionError
from fulgor.storage.database import connect
from fulgor.storage.registry import find_model, list_models, live_model, register_model

pytestmark = pytest.mark.services


def another(toy, **changed):
    return toy.card | {"name": "toy-2", "hash": "c" * 16} | changed


def test_the_first_is_live_the_next_is_a_candidate(toy):
    second = register_model(toy.connection, another(toy))
    assert [(m.model_id, m.status) for m in list_models(toy.connection, "toy")] == [
        (toy.model_id, "live"),
        (second, "candidate"),
    ]
    assert live_model(toy.connection, "toy").model_id == toy.model_id


def test_again_finds_the_same_row(toy):
    assert register_model(toy.connection, toy.card) == toy.model_id
    assert len(list_models(toy.connection)) == 1


def test_the_card_comes_back(toy):
    model = live_model(toy.connection, "toy")
    assert model.card == toy.card
    assert (model.classes, model.scores, model.reference) == (["AGN", "SN"], ["reconstruction", "distance"],
                                                              "toy-reference")  # fmt: skip


def test_the_layout_of_a_models_folder(toy):
    card = another(toy, reference={"id": "r-7", "size": 100})
    card["model_hash"] = card.pop("hash")
    found = find_model(toy.connection, str(register_model(toy.connection, card)))
    assert (found.hash, found.reference) == ("c" * 16, "r-7")


def test_a_refitted_reference_is_kept(toy):
    assert register_model(toy.connection, toy.card | {"reference": "newer"}) == toy.model_id
    assert live_model(toy.connection, "toy").reference == "newer"


def test_one_hash_is_one_model(toy):
    with pytest.raises(ModelError, match=r"registered with classes \['AGN', 'SN'\], this card says \['SN'\]"):
        register_model(toy.connection, toy.card | {"classes": ["SN"]})


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"hash": None}, "hash"), ({"classes": "SN"}, "classes"), ({"scores": [1]}, "scores"), ({"name": ""}, "name"),
     ({"reference": 3}, "reference")],
)  # fmt: skip
def test_a_card_that_lacks_something(toy, changed, named):
    with pytest.raises(ModelError, match=f"{named} missing or of the wrong type"):
        register_model(toy.connection, toy.card | changed)


def test_latents_that_the_tables_do_not_hold(toy):
    with pytest.raises(ModelError, match="gives latents of 32 numbers, the tables hold 64"):
        register_model(toy.connection, another(toy, latent=32))


def test_a_stream_without_tables(toy):
    with pytest.raises(SchemaVersionError, match="no tables for 'nowhere'"):
        register_model(toy.connection, toy.card | {"stream": "nowhere"})


def test_no_live_model(migrated):
    with connect(migrated) as connection, pytest.raises(ModelError, match="no live model"):
        live_model(connection, "toy")


def test_found_by_id_name_and_hash(toy):
    register_model(toy.connection, another(toy))
    for which in (str(toy.model_id), "toy-1", "a" * 16, "aaaaaa"):
        assert find_model(toy.connection, which).model_id == toy.model_id
    with pytest.raises(ModelError, match="no model 'aaaaa'"):
        find_model(toy.connection, "aaaaa")


def test_two_of_a_name_must_be_named_by_id(toy):
    second = register_model(toy.connection, another(toy, name="toy-1"))
    with pytest.raises(ModelError, match=f"models {toy.model_id}, {second}"):
        find_model(toy.connection, "toy-1")


def test_only_one_of_many_first_ones_becomes_live(migrated, toy):
    toy.connection.execute("DELETE FROM fulgor.model")
    barrier = Barrier(4)

    def work(index):
        with connect(migrated) as connection:
            barrier.wait(60)
            register_model(connection, another(toy, name=f"m{index}", hash=f"{index}" * 16))

    threads = [Thread(target=work, args=[index]) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(m.status for m in list_models(toy.connection)) == ["candidate", "candidate", "candidate", "live"]

"""Rows beside the live model's: they account for nothing, cost nobody anything, and are checked all the same."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from fulgor.storage.ledger import check, read_accounts
from fulgor.storage.lifecycle import promote
from fulgor.storage.prune import find_nights, prune
from fulgor.storage.registry import get_model, register_model
from fulgor.storage.stale import count_rows, count_unscored

pytestmark = pytest.mark.services


@pytest.fixture
def beside(toy):
    """Write results together with those of a second model."""
    second = register_model(toy.connection, toy.card | {"name": "toy-2", "hash": "c" * 16})

    def write(results, shadows=None, dead=(), *, next_offset):
        shadows = [replace(row, model_id=second) for row in (results if shadows is None else shadows)]
        batch = replace(toy.batch(results, dead, next_offset=next_offset), shadows=shadows)
        outcome = toy.writer.write(batch)
        toy.next_offset = next_offset
        return outcome

    return toy, second, write


def stored(toy, shadow):
    rows = toy.connection.execute("SELECT alert FROM fulgor.latent WHERE shadow = %s ORDER BY alert", [shadow])
    return [alert for (alert,) in rows.fetchall()]


def test_shadow_rows_stand_beside_and_do_not_count(beside):
    toy, second, write = beside
    outcome = write([toy.result(i) for i in range(3)], next_offset=3)
    assert (outcome.stored, outcome.duplicates, outcome.shadows_lost) == (3, 0, {})
    assert stored(toy, True) == stored(toy, False) == ["a0.0.0", "a1.0.0", "a2.0.0"]
    assert toy.value("SELECT count(*) FROM fulgor.latent WHERE model_id = %s AND shadow", second) == 3
    [account] = read_accounts(toy.connection)
    assert (account.stored, account.shadow) == (3, 3)
    assert check(toy.connection).closed


def test_neither_variants_nor_dead_letters_get_one(beside):
    toy, _, write = beside
    variant = toy.result(1, alert="a0.0.0", time=toy.night, content_hash=b"!" * 16)
    refused = toy.result(2, columns=(1.0, 2.0, 3, 2**40, 18.5))
    outcome = write([toy.result(0, time=toy.night), variant, refused], next_offset=3)
    assert (outcome.stored, len(outcome.dead)) == (1, 2)
    assert stored(toy, True) == ["a0.0.0"]
    assert check(toy.connection).closed


def test_a_shadow_that_the_database_refuses_costs_only_its_own_rows(beside):
    toy, second, write = beside
    rows = [toy.result(i) for i in range(3)]
    short = np.zeros(3, np.float32)  # the column takes 64
    outcome = write(rows, [rows[0], replace(rows[1], latent=short), rows[2]], next_offset=3)
    assert (outcome.stored, outcome.shadows_lost) == (3, {second: 3})
    assert (len(stored(toy, False)), stored(toy, True)) == (3, [])
    assert check(toy.connection).closed


def test_a_repeated_alert_keeps_its_first_shadow_row(beside):
    toy, _, write = beside
    write([toy.result(0, alert="x", time=toy.night)], next_offset=1)
    outcome = write([toy.result(1, alert="x", time=toy.night)], next_offset=2)
    assert (outcome.stored, outcome.duplicates) == (0, 1)
    assert stored(toy, True) == ["x"]
    assert check(toy.connection).closed


def test_once_live_a_shadows_row_is_a_duplicate_for_who_comes_there_again(beside):
    toy, second, write = beside
    write([toy.result(0, alert="x", time=toy.night)], next_offset=1)
    outcome = write([toy.result(1, alert="x", time=toy.night, model_id=second)], [], next_offset=2)
    assert (outcome.stored, outcome.duplicates) == (0, 1)
    assert check(toy.connection).closed


def test_a_shadow_row_alone_is_found(beside):
    toy, second, write = beside
    write([toy.result(i) for i in range(2)], next_offset=2)
    toy.connection.execute("DELETE FROM fulgor.latent WHERE alert = 'a1.0.0' AND NOT shadow")
    findings = check(toy.connection).findings
    assert ("shadow alone", f"alert a1.0.0 has a row of shadow model {second} and none that accounts for it") in [
        (finding.kind, finding.detail) for finding in findings
    ]
    assert "missing" in {finding.kind for finding in findings}


def test_a_night_goes_with_its_shadow_rows_and_the_ledger_closes(beside):
    toy, _, write = beside
    write([toy.result(i) for i in range(4)], next_offset=4)
    [night] = find_nights(toy.connection, (toy.night + timedelta(days=1)).date())
    prune(toy.connection, night, idle=timedelta(0))
    assert toy.count("latent") == 0
    assert read_accounts(toy.connection)[0].sealed == 4
    assert check(toy.connection).closed


def test_stale_rows_are_those_of_alerts_that_the_live_model_has_not_scored(beside):
    toy, second, write = beside
    write([toy.result(i) for i in range(3)], [toy.result(0)], next_offset=3)
    assert [(m.rows, m.stale, m.reason) for m in count_rows(toy.connection)] == [(3, 0, None), (1, 0, "model")]
    promote(toy.connection, get_model(toy.connection, second))
    assert [(m.rows, m.stale, m.reason) for m in count_rows(toy.connection, "toy")] == [(3, 2, "model"), (1, 0, None)]
    assert count_unscored(toy.connection, get_model(toy.connection, second)) == 2
    toy.connection.execute("UPDATE fulgor.model SET preprocessing_hash = 'older' WHERE model_id <> %s", [second])
    rows = toy.connection.execute("SELECT alert, reason FROM fulgor.stale ORDER BY alert").fetchall()
    assert rows == [("a1.0.0", "preparation"), ("a2.0.0", "preparation")]

"""Nights against the sample that was kept with their model."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from safetensors.numpy import save

from fulgor.models.drift import SAMPLE
from fulgor.models.reference import Reference
from fulgor.storage import drift
from fulgor.storage.drift import latest_drift, measure_drift, read_drift
from fulgor.storage.modelfiles import write_files
from fulgor.storage.prune import find_nights, prune

pytestmark = pytest.mark.services

RANDOM = np.random.default_rng(1)


def latents(count, shift=0.0):
    return (RANDOM.normal(size=(count, 64)) + shift).astype(np.float32)


@pytest.fixture
def sampled(toy):
    """The live model with a sample of 200 standard normal latents, whose score is exponential."""
    scores = RANDOM.exponential(size=(200, 2)).astype(np.float32)
    card = toy.card | {"reference": Reference.fit(scores, toy.card["scores"]).to_card()}
    content = save({"latent": latents(200), "scores": scores})
    write_files(toy.connection, toy.model_id, {"card.json": json.dumps(card).encode(), SAMPLE: content})
    return toy


def night(toy, day, values, anomaly=0.5):
    first = toy.next_offset
    rows = [
        toy.result(first + i, time=toy.night + timedelta(days=day, seconds=i), latent=value, anomaly=anomaly)
        for i, value in enumerate(values)
    ]
    toy.write(rows, next_offset=first + len(rows))


def test_a_night_like_the_sample_and_one_that_is_not(sampled):
    night(sampled, 0, latents(100))
    night(sampled, 1, latents(100, 0.3), anomaly=1.0)
    assert measure_drift(sampled.connection) == (2, [])
    later, earlier = read_drift(sampled.connection, "toy")
    assert (earlier.alerts, earlier.sampled, earlier.reference, earlier.beyond) == (100, 100, 200, 0.0)
    assert earlier.distance < 1.5 * earlier.level
    assert (later.drifted, later.p_value, later.beyond) == (True, pytest.approx(1 / 200), 1.0)
    assert later.night > earlier.night
    assert latest_drift(sampled.connection, sampled.model_id) == later


def test_only_nights_that_have_grown_are_measured_again(sampled):
    night(sampled, 0, latents(30))
    night(sampled, 1, latents(10))  # too few to say anything
    assert measure_drift(sampled.connection, "toy")[0] == 1
    assert measure_drift(sampled.connection, "toy")[0] == 0
    night(sampled, 1, latents(15))
    assert measure_drift(sampled.connection, "toy")[0] == 1
    assert [row.alerts for row in read_drift(sampled.connection)] == [25, 30]


def test_a_night_that_is_dropped_meanwhile_is_not_measured(sampled, monkeypatch):
    night(sampled, 0, latents(30))
    night(sampled, 1, latents(30))
    grown = drift._grown

    def then_dropped(connection, model):
        found = list(grown(connection, model))
        for each in find_nights(connection, date(2026, 3, 2)):
            prune(connection, each, idle=timedelta(0))
        return found

    monkeypatch.setattr(drift, "_grown", then_dropped)
    assert measure_drift(sampled.connection, "toy")[0] == 1
    assert [row.night for row in read_drift(sampled.connection)] == [date(2026, 3, 2)]


def test_a_model_without_a_sample_is_named(toy):
    night(toy, 0, latents(30))
    measured, without = measure_drift(toy.connection)
    assert (measured, [model.name for model in without]) == (0, ["toy-1"])
    assert latest_drift(toy.connection, toy.model_id) is None

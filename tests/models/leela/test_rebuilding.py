"""What the decoder makes of pulses: the same score as the served graph, and refusals."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fulgor.errors import ModelError
from fulgor.models.card import read_card
from fulgor.models.leela.rebuilding import load_network, rebuild
from fulgor.models.leela.serving import load
from fulgor.models.serving import SHIPPED

FOLDER = SHIPPED / "leela"


def test_the_error_is_the_score_of_the_served_model():
    random = np.random.default_rng(5)
    windows = random.normal(0, 0.3, (3, 2, 256)).astype(np.float32)
    windows[:, 1] = 1
    windows[2, :, 220:] = 0
    found = rebuild(load_network(FOLDER, read_card(FOLDER)), {"windows": windows})
    rows = {"windows": windows[None].repeat(3, 0), "scalars": np.ones((3, 3, 8), np.float32)}
    served = load(FOLDER, "cpu").predict({**rows, "pulse": np.arange(1, 4), "chunk": np.zeros((3, 2), int)})
    np.testing.assert_allclose(found.error, served["scores"][:, 0], atol=1e-4)
    np.testing.assert_array_equal(found.seen, windows[:, 0])
    assert found.rebuilt.shape == (3, 256)
    assert (~found.inside).sum(axis=1).tolist() == [0, 0, 36]


def test_what_is_no_model_or_no_chunk_is_refused(tmp_path):
    card = read_card(FOLDER)
    with pytest.raises(ModelError, match="could not be prepared"):
        rebuild(load_network(FOLDER, card), {})
    with pytest.raises(ModelError, match="of stream 'ztf', not of leela"):
        load_network(FOLDER, {**card, "stream": "ztf"})
    shutil.copy(SHIPPED / "ztf" / "weights.safetensors", tmp_path)
    with pytest.raises(ModelError, match="does not hold this model's weights"):
        load_network(tmp_path, card)

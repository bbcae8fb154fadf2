from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fulgor.errors import ModelError
from fulgor.models.scores.suite import FITTED, NEEDS, ScoreSuite


def test_every_score_finds_the_strange(suite: ScoreSuite, held_out: np.ndarray, strange: np.ndarray) -> None:
    usual, odd = suite(held_out), suite(strange)
    assert usual.dtype == np.float32
    assert usual.shape == (len(held_out), len(FITTED))
    for k, name in enumerate(FITTED):
        assert np.median(odd[:, k]) > np.quantile(usual[:, k], 0.8), name


def test_a_file_gives_the_same_scores(suite: ScoreSuite, held_out: np.ndarray, tmp_path: Path) -> None:
    suite.save(tmp_path / "scores")
    assert np.array_equal(ScoreSuite.load(tmp_path / "scores")(held_out), suite(held_out))


def test_serving_needs_no_torch(suite: ScoreSuite, held_out: np.ndarray, tmp_path: Path) -> None:
    suite.save(tmp_path / "scores")
    np.save(tmp_path / "latents.npy", held_out)
    code = (
        "import sys, numpy as np; from pathlib import Path; from fulgor.models.scores.suite import ScoreSuite\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "found = ScoreSuite.load(folder / 'scores')(np.load(folder / 'latents.npy'))\n"
        "assert not {'torch', 'zuko', 'coniferest', 'sklearn'} & set(sys.modules)\n"
        "np.save(folder / 'found.npy', found)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.array_equal(np.load(tmp_path / "found.npy"), suite(held_out))


def test_a_latent_that_is_none_has_no_score(suite: ScoreSuite, held_out: np.ndarray) -> None:
    latents = held_out[:4].copy()
    latents[0, 3], latents[1, 0], latents[2] = np.nan, np.inf, 1e30
    scores = suite(latents)
    assert np.isnan(scores[:2]).all()
    assert not np.isinf(scores).any()
    assert scores[3] == pytest.approx(suite(held_out)[3], rel=1e-5)


def test_a_row_does_not_depend_on_its_batch(suite: ScoreSuite, held_out: np.ndarray) -> None:
    alone = np.concatenate([suite(row[None]) for row in held_out[:10]])
    assert alone == pytest.approx(suite(held_out)[:10], rel=1e-5)


def test_an_empty_batch(suite: ScoreSuite, held_out: np.ndarray) -> None:
    assert suite(held_out[:0]).shape == (0, len(FITTED))


def test_the_seed_decides(known: tuple[np.ndarray, np.ndarray], suite: ScoreSuite, held_out: np.ndarray) -> None:
    assert np.array_equal(ScoreSuite.fit(*known, seed=4)(held_out), suite(held_out))


def test_too_few_latents_is_an_error(known: tuple[np.ndarray, np.ndarray]) -> None:
    latents = np.where(np.arange(len(known[0]))[:, None] < 40, known[0], np.nan)
    with pytest.raises(ModelError, match="40 usable latents"):
        ScoreSuite.fit(latents, known[1])


def test_a_damaged_file_is_an_error(suite: ScoreSuite, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fit them again"):
        ScoreSuite.load(tmp_path / "scores")
    suite.save(tmp_path / "scores")
    arrays = load_file(tmp_path / "scores")
    for lost in ("frame/mean", "forest/roots", "flow/whitening", "centres/centres", "neighbours/rows"):
        save_file({name: array for name, array in arrays.items() if name != lost}, tmp_path / "less")
        with pytest.raises(ModelError, match="fit them again"):
            ScoreSuite.load(tmp_path / "less")
    (tmp_path / "scores").write_bytes((tmp_path / "scores").read_bytes()[:-9])
    with pytest.raises(ModelError, match="fit them again"):
        ScoreSuite.load(tmp_path / "scores")


def test_what_a_score_needs_is_told_of_each() -> None:
    assert set(FITTED) < set(NEEDS)

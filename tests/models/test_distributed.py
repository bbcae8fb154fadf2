from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fit_together
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fulgor.errors import ModelError, SettingsError
from fulgor.models import fitting
from fulgor.models.checkpoint import Checkpoint
from fulgor.models.dataset import Dataset
from fulgor.models.distributed import ALONE, Ranks, launched

LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
BATCH = 16


@pytest.fixture(scope="module")
def alone(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by one process with the doubled batch."""
    out = tmp_path_factory.mktemp("alone")
    before = fitting.descend
    try:
        fit_together.main(ALONE, dataset, out, 2 * BATCH)
    finally:
        fitting.descend = before
    return out


@pytest.fixture(scope="module")
def together(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training by two processes."""
    out = tmp_path_factory.mktemp("together")
    dataset.save(out / "data")
    command = [*LAUNCHER, fit_together.__file__, str(out / "data"), str(out), str(BATCH)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_both_processes_end_with_equal_weights(together: Path) -> None:
    one, other = (load_file(together / f"whole{number}.safetensors") for number in range(2))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_step_is_that_of_one_process_with_the_doubled_batch(alone: Path, together: Path) -> None:
    expected = np.loadtxt(alone / "losses0.txt")
    each = [np.loadtxt(together / f"losses{number}.txt") for number in range(2)]
    assert np.abs(each[0] - each[1]).max() > 1e-3  # they saw other alerts
    np.testing.assert_allclose(np.mean(each, axis=0)[:1], expected[:1], rtol=1e-6)
    # 101 alerts: in the last step of a pass, 3 are left for one process and 2 for the other.
    np.testing.assert_allclose(np.mean(each, axis=0), expected, rtol=1e-5)
    ours, theirs = load_file(alone / "whole0.safetensors"), load_file(together / "whole0.safetensors")
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-4)
    curves = [np.loadtxt(folder / "whole" / "curves.csv", delimiter=",", skiprows=1) for folder in (alone, together)]
    np.testing.assert_allclose(*curves, rtol=1e-5)


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(together: Path) -> None:
    for number in range(2):
        whole, again = (load_file(together / f"{name}{number}.safetensors") for name in ("whole", "again"))
        assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_a_checkpoint_of_another_number_of_processes_is_refused(alone: Path, together: Path, dataset: Dataset) -> None:
    network = fit_together.new_network(dataset)
    optimiser = torch.optim.AdamW(network.parameters())
    with pytest.raises(ModelError, match="belongs to another training: its processes differ"):
        Checkpoint(together / "whole", {}).restore(network, optimiser)
    with pytest.raises(ModelError, match="belongs to another training: its processes differ"):
        Checkpoint(alone / "whole", {}, Ranks(1, 2)).restore(network, optimiser)


def test_shares_leave_nobody_without_a_step() -> None:
    order = np.random.default_rng(0).permutation(33)
    shares = [Ranks(number, 2).shares(order, 8) for number in range(2)]
    assert [[len(step) for step in steps] for steps in shares] == [[8, 8], [8, 8]]  # one alert is left out
    assert sorted(np.concatenate([*shares[0], *shares[1]]).tolist()) == sorted(order[:32].tolist())
    assert np.concatenate(ALONE.shares(order, 8)).tolist() == order.tolist()


def test_each_process_has_a_gpu_of_its_own() -> None:
    assert Ranks(5, 8, 1).device("cuda") == "cuda:1"
    assert Ranks(5, 8, 1).device("cpu") == "cpu"
    assert ALONE.device("cuda") == "cuda"


def test_an_environment_that_no_launcher_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SettingsError, match="RANK is None: start several processes by torchrun"), launched("cpu"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(SettingsError, match="WORLD_SIZE is 'two'"), launched("cpu"):
        pass

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fulgor.errors import ModelError
from fulgor.models import checkpoint
from fulgor.models.checkpoint import FILE, Checkpoint, Standing


def stepped() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return network, optimiser


def test_everything_comes_back(tmp_path: Path) -> None:
    network, optimiser = stepped()
    standing = Standing({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, [(2.0, 1.0), (1.5, 1.25)], 1, 1.0)
    Checkpoint(tmp_path, {"seed": 1}).save(network, optimiser, standing)
    other = nn.Linear(3, 2)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    found = Checkpoint(tmp_path, {"seed": 1}).restore(other, fresh)
    assert found is not None
    assert (found.losses, found.best_epoch, found.best_loss) == (standing.losses, 1, 1.0)
    assert torch.equal(found.best["weight"], torch.ones(2, 3))
    assert torch.equal(other.weight, network.weight)
    for one, two in zip(fresh.state_dict()["state"].values(), optimiser.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in two)
    assert (tmp_path / "curves.csv").read_text().splitlines()[-1] == "2,1.5,1.25"


def test_there_may_be_none(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "new", {}).restore(*stepped()) is None


def test_another_training_s_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"seed": 1, "data": "a"}).save(*stepped(), Standing({}))
    with pytest.raises(ModelError, match="belongs to another training: its data differ; give another folder"):
        Checkpoint(tmp_path, {"seed": 1, "data": "b"}).restore(*stepped())


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\x10\0\0\0\0\0\0\0 no header")
    with pytest.raises(ModelError, match=r"cannot be read .* delete it to train from the beginning"):
        Checkpoint(tmp_path, {}).restore(*stepped())


def test_two_trainings_in_one_folder_do_not_write_into_each_others_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, optimiser = stepped()
    write, standings = checkpoint.save_file, [Standing({}, [(float(number), 1.0)]) for number in range(2)]

    def overtaken(*given: object) -> None:
        write(*given)
        monkeypatch.setattr(checkpoint, "save_file", write)
        Checkpoint(tmp_path, {}).save(network, optimiser, standings[1])

    monkeypatch.setattr(checkpoint, "save_file", overtaken)
    Checkpoint(tmp_path, {}).save(network, optimiser, standings[0])
    found = Checkpoint(tmp_path, {}).restore(*stepped())
    assert found is not None
    assert found.losses == standings[0].losses  # the last one to take its place
    assert sorted(file.name for file in tmp_path.iterdir()) == [FILE, "curves.csv"]

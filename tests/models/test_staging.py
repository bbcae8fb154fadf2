from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fulgor.errors import DiskFullError, ModelError, SettingsError
from fulgor.models.card import CARD, read_card
from fulgor.models.staging import UNFINISHED, make_folder, staged


def files(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def make(directory: Path, **content: str) -> None:
    with staged(directory) as fresh:
        for name, text in content.items():
            (fresh / name.replace("_", ".")).write_text(text)


def test_files_take_their_places_at_once_and_what_else_is_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    make(folder, weights="1", card_json="one")
    assert files(folder) == {"weights": "1", CARD: "one"}
    (folder / "checkpoint").write_text("kept")
    make(folder, weights="2", card_json="two")
    assert files(folder) == {"weights": "2", CARD: "two", "checkpoint": "kept"}


def interrupted(fresh: Path) -> None:
    (fresh / "weights").write_text("2")
    (fresh / CARD).write_text("two")
    raise KeyboardInterrupt


def test_what_is_cut_off_while_it_is_made_leaves_the_model_of_before(tmp_path: Path) -> None:
    make(tmp_path, weights="1", card_json="one")
    with pytest.raises(KeyboardInterrupt), staged(tmp_path) as fresh:
        interrupted(fresh)
    assert files(tmp_path) == {"weights": "1", CARD: "one"}


def test_what_a_killed_process_has_left_is_no_model_and_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / "scores").write_text("of the one that was killed")
    with pytest.raises(ModelError):
        read_card(tmp_path)
    make(tmp_path, weights="1", card_json="one")
    assert files(tmp_path) == {"weights": "1", CARD: "one"}


def test_processes_that_make_a_model_in_one_folder_take_turns(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, staged(tmp_path) as fresh:
        (fresh / "weights").write_text("1")
        other = executor.submit(make, tmp_path, scores="2", card_json="two")
        wait([other], 0.1)  # it would be done long ago if it did not wait for its turn
        assert files(fresh) == {"weights": "1"}
        (fresh / CARD).write_text("one")
    other.result()
    assert files(tmp_path) == {"weights": "1", "scores": "2", CARD: "two"}


def test_files_take_their_places_without_a_card_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, weights="1", card_json="one")
    seen, replace = [], Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append((target.name, (tmp_path / CARD).exists()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    make(tmp_path, weights="2", alpha="2", card_json="two", zeta="2")
    assert seen == [("alpha", False), ("weights", False), ("zeta", False), (CARD, False)]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), DiskFullError, "No space left"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), SettingsError, "Permission denied"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), DiskFullError, "No space left"),
        (SafetensorError("Error while serializing"), SettingsError, "serializing"),
    ],
)
def test_what_the_disk_says(tmp_path: Path, error: Exception, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=f"model: the model cannot be written: .*{words}"), staged(tmp_path / "model"):
        raise error
    assert files(tmp_path / "model") == {}


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SettingsError, match="taken: the model cannot be written: File exists"):
        make_folder(tmp_path / "taken")
    make_folder(tmp_path / "a" / "b")
    assert files(tmp_path / "a" / "b") == {}

"""What a model's folder says of its source."""

from __future__ import annotations

import subprocess

import pytest

from fulgor.models import folder


def test_a_git_that_is_stuck_costs_no_model(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def stuck(command: list[str], **how: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(folder.shutil, "which", lambda name: name)
    monkeypatch.setattr(folder.Path, "exists", lambda path: True)
    monkeypatch.setattr(folder.subprocess, "run", stuck)
    assert folder._revision() is None
    assert "the card goes without" in caplog.text

from __future__ import annotations

import pytest

from fulgor.consumer import intake as intake_module
from fulgor.consumer.intake import Intake


def test_pauses_at_the_limit_and_resumes_at_half():
    intake = Intake(100)
    intake.take(99)
    assert not intake.should_pause()
    intake.take(1)
    assert intake.should_pause()
    intake.paused = True
    intake.give(49)
    assert not intake.should_resume()
    intake.give(1)
    assert intake.should_resume()
    assert intake.held == 50


def test_the_age_is_that_of_the_oldest_message_in_flight(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr(intake_module, "monotonic", lambda: now)
    intake = Intake(100)
    assert intake.oldest_age() == 0.0
    intake.take(10)
    assert intake.oldest_age() == 0.0
    now = 1.0
    intake.take(5)
    assert intake.oldest_age() == 1.0
    now = 3.0
    intake.give(10)
    assert intake.oldest_age() == 2.0
    intake.give(5)
    assert intake.oldest_age() == 0.0
    now = 9.0
    intake.take(1)
    assert intake.oldest_age() == 0.0

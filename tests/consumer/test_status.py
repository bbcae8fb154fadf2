"""The status line of a running consumer."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fulgor.consumer import status
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.status import StatusLine


def test_a_title_that_looks_like_markup_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch):
    screen = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")  # on a dumb one nothing is renewed
    monkeypatch.setattr(status, "Console", lambda file: Console(file=screen, force_terminal=True, width=200))
    with StatusLine(Metrics(), "ztf nights[/old]/[red]a.tar") as line:
        line.tick()
    assert "ztf nights[/old]/[red]a.tar  0/s  0 messages" in screen.getvalue()

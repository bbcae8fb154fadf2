"""A consumer as a process of its own, and its end point."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def get(port: int, path: str, timeout: float = 60) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> object:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@contextmanager
def consumer(words: list[str], variables: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a consumer and yield it with the port of its end point; end it with SIGTERM."""
    command = [sys.executable, "-m", "fulgor", "consume", "ztf", "-v", "--metrics-port", "0", *words]
    with log.open("wb") as stderr, subprocess.Popen(command, env=variables, stderr=stderr) as process:
        try:

            def port() -> int | None:
                assert process.poll() is None, log.read_text()
                found = re.search(r"metrics on http://0\.0\.0\.0:(\d+)/", log.read_text())
                return int(found[1]) if found else None

            yield process, int(str(until(port, "no end point")))
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0, log.read_text()
        finally:
            process.kill()

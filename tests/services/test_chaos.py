"""A slice of ``benchmarks/chaos.py``: the whole of it takes ten minutes, kills the broker too, and runs both protocols.

Not on the embedded broker, whose groups take ten seconds and more for each rebalance; ``test_crash.py`` kills there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.services, pytest.mark.slow]

CHAOS = Path(__file__).resolve().parents[2] / "benchmarks" / "chaos.py"


def test_a_few_deaths(kafka_broker):
    words = ["--bootstrap", kafka_broker.bootstrap, "--protocol", "consumer", "--rounds", "2", "--seed", "3"]
    done = subprocess.run([sys.executable, CHAOS, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills and stops" in done.stdout
    assert "lost 0, doubled 0" in done.stdout

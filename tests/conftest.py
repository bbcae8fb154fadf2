"""Fixtures that every test may use."""

from __future__ import annotations

import signal
from pathlib import Path
from zlib import crc32

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_configure() -> None:
    """Take Ctrl-C even where the shell has it ignored, as it has for what runs in the background: tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real alerts, waveforms and Apache Kafka; the test is skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real data at {SHARED / 'data'}")
    return SHARED


@pytest.hookimpl(tryfirst=True)  # before the names of the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay in one process when several share the run (``pytest -n``).

    Those of one file, for they share what its fixtures made; and those of one broker in three processes or two, for
    each process starts servers of its own.
    """
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        kind = item.callspec.params.get("broker") if "broker" in names else None  # type: ignore[attr-defined]
        group = str(item.path.relative_to(ROOT))
        if kind == "kafka" or "kafka_broker" in names:
            group = f"kafka-{crc32(group.encode()) % 3}"
        elif kind == "embedded" or "embedded_broker" in names:
            group = f"embedded-{crc32(group.encode()) % 2}"
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name messages by how they begin: all processes must know a test by the same name, and gzip holds the time."""
    return repr(val[:4]) if isinstance(val, bytes) else None

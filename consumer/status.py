"""What a running consumer tells the person in front of it: one live line, or log lines."""

from __future__ import annotations

import logging
import sys
from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from fulgor.consumer.batches import FlushReason
from fulgor.consumer.metrics import Metrics

__all__ = ["StatusLine", "report", "summary"]

log = logging.getLogger(__name__)
_LOG_EVERY_S = 30.0
_STAGES = ("decode", "prepare", "infer", "write")
_OUTCOMES = ("stored", "duplicate", "dead")


class StatusLine:
    """A line that renews itself on a terminal; elsewhere a log line every half minute.

    Parameters
    ----------
    metrics : Metrics
        What is shown.
    title : str
        Stream and topic.
    """

    def __init__(self, metrics: Metrics, title: str) -> None:
        self._metrics = metrics
        self._title = title
        self._before = (monotonic(), 0.0)
        self._logged = monotonic()
        console = Console(file=sys.stderr)
        self._live = Status(Text(title), console=console) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tick(self) -> None:
        """Renew the line; called about once a second."""
        now, messages = monotonic(), self._metrics.value("fulgor_messages_total")
        rate = (messages - self._before[1]) / max(now - self._before[0], 1e-3)
        if self._live is not None:
            # Not as markup, which a path or a pattern may look like.
            self._live.update(Text(f"{self._title}  {rate:,.0f}/s  {summary(self._metrics)}"))
            self._before = (now, messages)
        elif now - self._logged >= _LOG_EVERY_S:
            log.info("%s  %.0f/s  %s", self._title, rate, summary(self._metrics))
            self._before = (now, messages)
            self._logged = now


def report(metrics: Metrics) -> dict[str, Any]:
    """Return the counts of a run as JSON values: times in seconds, shares of the stages' wall time."""
    stages = {stage: metrics.value("fulgor_stage_seconds_total", stage=stage) for stage in _STAGES}
    busy = sum(stages.values()) or 1.0
    fill_count = metrics.value("fulgor_batch_fill_ratio_count")
    quantiles = metrics.latency_quantiles() or (None, None)
    return {
        "messages": int(metrics.value("fulgor_messages_total")),
        "bytes": int(metrics.value("fulgor_bytes_total")),
        **{outcome: int(metrics.value("fulgor_records_total", outcome=outcome)) for outcome in _OUTCOMES},
        "seconds": metrics.working_seconds(),
        "latency_p50": quantiles[0],
        "latency_p99": quantiles[1],
        "stage_seconds": stages,
        "stage_share": {stage: seconds / busy for stage, seconds in stages.items()},
        "flushes": {why.value: int(metrics.value("fulgor_batch_flushes_total", reason=why)) for why in FlushReason},
        "mean_fill": metrics.value("fulgor_batch_fill_ratio_sum") / fill_count if fill_count else None,
        "interrupted": metrics.interrupted,
    }


def summary(metrics: Metrics) -> str:
    """Return the counts of a run and its latency in one line."""
    counts = {outcome: int(metrics.value("fulgor_records_total", outcome=outcome)) for outcome in _OUTCOMES}
    parts = [
        f"{int(metrics.value('fulgor_messages_total')):,} messages",
        f"{counts['stored']:,} stored",
        f"{counts['duplicate']:,} duplicates",
        f"{counts['dead']:,} dead letters",
    ]
    if metrics.value("fulgor_paused"):
        parts.append("paused by back-pressure")
    if (quantiles := metrics.latency_quantiles()) is not None:
        parts.append(f"latency p50 {quantiles[0]:.3f} s, p99 {quantiles[1]:.3f} s")
    return ", ".join(parts)

"""The figures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from fulgor.consumer.metrics import Metrics
from fulgor.demo.picture import CARDS
from fulgor.demo.plan import Night
from fulgor.demo.results import DeadReason, NightRows, agreement, read_dead
from fulgor.demo.simulation import NightAlert
from fulgor.demo.source import NightSource
from fulgor.demo.traffic import Traffic
from fulgor.storage.database import connect, translated
from fulgor.storage.ledger import check

__all__ = ["DemoReport", "Outcome", "Strange"]

_STAGES = ("decode", "prepare", "infer", "write")


@dataclass(frozen=True, slots=True)
class Strange:
    """One of the strangest alerts; `truth` is its simulated class."""

    alert: str
    object: str
    class_name: str
    probability: float
    anomaly: float
    truth: str


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All figures of a run.

    Parameters
    ----------
    night, topic, group : str
        Date (UTC) and names.
    messages, broken, repeated : int
        Sent, and how many of them on purpose broken and sent twice.
    stored, duplicates : int
        What became of alerts.
    dead : sequence of DeadReason
        What became dead letters.
    backlog, live : int
        Messages before and while the consumer ran.
    backlog_rate : float
        Messages per second of the backlog, from the first one read to its commit.
    latency_p50, latency_p99 : float
        Seconds from the creation of a live message to its committed row.
    stage_seconds : mapping of str to float
        Wall time by stage.
    ledger_closed : bool
        Every message is accounted for exactly once.
    findings : sequence of str
        What does not add up.
    classes : mapping of str to (simulated, found, right)
        Against the simulated truth.
    accuracy : float
        Part of the scored alerts whose class is the simulated one.
    strangest : sequence of Strange
        The strangest objects' strangest alerts.
    picture : str
        Path of the picture.
    seconds : float
        Wall time of everything.
    """

    night: str
    topic: str
    group: str
    messages: int
    broken: int
    repeated: int
    stored: int
    duplicates: int
    dead: Sequence[DeadReason]
    backlog: int
    live: int
    backlog_rate: float
    latency_p50: float
    latency_p99: float
    stage_seconds: Mapping[str, float]
    ledger_closed: bool
    findings: Sequence[str]
    classes: Mapping[str, tuple[int, int, int]]
    accuracy: float
    strangest: Sequence[Strange]
    picture: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind: the database, what was sent, and the consumer's own counts."""

    database: str
    night: Night
    messages: Traffic
    alerts: Sequence[NightAlert]
    source: NightSource
    metrics: Metrics
    rows: NightRows

    @property
    def truth(self) -> dict[str, str]:
        """Simulated class by alert id."""
        return {str(alert.candid): alert.label for alert in self.alerts}

    def report(self, picture: str, began: float) -> DemoReport:
        """Return the figures.

        Parameters
        ----------
        picture : str
            Where the picture lies.
        began : float
            `time.monotonic()` at the start.
        """
        truth = self.truth
        classes = agreement(self.rows, truth)
        p50, p99 = self._latency()
        findings = self._findings()
        return DemoReport(
            night=self.night.date.isoformat(),
            topic=self.night.topic,
            group=self.night.group,
            messages=self.messages.count,
            broken=self.messages.broken,
            repeated=self.messages.repeated,
            stored=int(self.metrics.value("fulgor_records_total", outcome="stored")),
            duplicates=int(self.metrics.value("fulgor_records_total", outcome="duplicate")),
            dead=read_dead(self.database, self.night.group),
            backlog=len(self.messages.backlog),
            live=len(self.messages.live),
            backlog_rate=len(self.messages.backlog) / max(self.source.backlog_seconds, 1e-3),
            latency_p50=p50,
            latency_p99=p99,
            stage_seconds={stage: self.metrics.value("fulgor_stage_seconds_total", stage=stage) for stage in _STAGES},
            ledger_closed=not findings,
            findings=findings,
            classes=classes,
            accuracy=sum(right for _, _, right in classes.values()) / max(len(self.rows.alerts), 1),
            strangest=self._strangest(truth),
            picture=picture,
            seconds=monotonic() - began,
        )

    def _latency(self) -> tuple[float, float]:
        """Return median and 99th percentile of the live messages: those before had waited for the consumer."""
        live = sorted(list(self.metrics.recent_latencies)[len(self.messages.backlog) :])
        return live[len(live) // 2], live[min(len(live) - 1, int(len(live) * 0.99))]

    def _findings(self) -> list[str]:
        with translated(self.database), connect(self.database) as connection:
            report = check(connection, group=self.night.group)
        return [str(finding) for finding in report.findings]

    def _strangest(self, truth: Mapping[str, str]) -> list[Strange]:
        chosen = [self.rows.alerts[index] for index in self.rows.strangest(CARDS)]
        return [
            Strange(row.alert, row.object, row.class_name, row.probability, row.anomaly, truth[row.alert])
            for row in chosen
        ]

"""What the consumer tells Prometheus, and the same figures for the status line."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Metrics"]

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_FILL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_KEPT_LATENCIES = 200_000


class Metrics:
    """Counters and histograms of one consumer process.

    Parameters
    ----------
    registry : CollectorRegistry, optional
        Default: one of its own, so that two engines in one process do not collide.

    Attributes
    ----------
    interrupted : bool
        Whether a run that was to go on to the end was stopped before it.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._count_messages()
        self._time_stages()
        self._show_health()
        self._show_scorers()
        self.interrupted = False
        self._first_work: float | None = None
        self._last_work = 0.0
        self.recent_latencies: deque[float] = deque(maxlen=_KEPT_LATENCIES)

    def _count_messages(self) -> None:
        self.messages = self._counter("fulgor_messages", "Messages read from the source")
        self.bytes = self._counter("fulgor_bytes", "Bytes of messages read from the source")
        self.records = self._counter(
            "fulgor_records", "Items by what became of them: stored, duplicate, dead", "outcome"
        )
        self.dead_letters = self._counter(
            "fulgor_dead_letters", "Dead letters by stage and error class", "stage", "reason"
        )
        self.alerts_published = self._counter(
            "fulgor_alerts_published", "Anomalies that Kafka has acknowledged (--alerts-to)"
        )
        self.alerts_pending = self._gauge("fulgor_alerts_pending", "Stored anomalies that are still to be published")

    def _time_stages(self) -> None:
        self.flushes = self._counter(
            "fulgor_batch_flushes", "Micro-batches by why they were closed: full, deadline, cut, end", "reason"
        )
        self.fill = self._histogram("fulgor_batch_fill_ratio", "Items in a micro-batch over its size", _FILL_BUCKETS)
        self.stage_seconds = self._counter(
            "fulgor_stage_seconds",
            "Wall time by stage: decode, prepare, recall (look-up of stored history), infer, shadow (inference of"
            " shadow models), write",
            "stage",
        )
        self.stage_items = self._counter(
            "fulgor_stage_items",
            "Work done by stage: decode counts records, prepare, infer and shadow items, write items of committed"
            " batches",
            "stage",
        )
        self.latency = self._histogram(
            "fulgor_append_to_commit_seconds",
            "From the Kafka timestamp of a message to its committed rows (append time on LogAppendTime topics)",
            _LATENCY_BUCKETS,
        )

    def _show_health(self) -> None:
        self.lag = self._gauge("fulgor_consumer_lag", "Messages not yet stored", "topic", "partition")
        self.in_flight = self._gauge("fulgor_in_flight_bytes", "Bytes of messages read and not yet stored")
        self.oldest_pending = self._gauge(
            "fulgor_oldest_pending_seconds",
            "For how long the oldest message that is read and not yet stored has waited, to about a second",
        )
        self.paused = self._gauge("fulgor_paused", "1 while partitions are paused by back-pressure")
        self.database_retries = self._counter(
            "fulgor_database_retries",
            "Database work begun again, because the database was away or refused it for the moment",
        )
        self.database_up = self._gauge("fulgor_database_up", "1 if the database answered last, 0 while it is away")
        self.gpu_memory = self._gauge("fulgor_gpu_memory_bytes", "GPU memory that torch keeps for this process")

    def _show_scorers(self) -> None:
        self.process_info = self._gauge(
            "fulgor_process_info",
            "Always 1; its labels say which program this is, and the model that it began with",
            "version", "stream", "model", "device",
        )  # fmt: skip
        self.models = self._gauge(
            "fulgor_models",
            "1 for each model that this process scores with, by its role: live, shadow",
            "model",
            "role",
        )
        self.model_switches = self._counter(
            "fulgor_model_switches", "Line-ups of models that were taken over while running"
        )
        self.model_refusals = self._counter(
            "fulgor_model_refusals", "Models that could not be loaded; the others went on", "model"
        )
        self.shadow_lost = self._counter("fulgor_shadow_lost", "Rows that a shadow model failed to give", "model_id")
        self.drift = self._gauge(
            "fulgor_drift",
            "The live model's latest measured night against the sample kept with it: distance, level (what chance gives"
            " in 19 of 20 cases), p_value, beyond (share above the sample's 99th percentile)",
            "model", "figure",
        )  # fmt: skip

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, about, buckets=buckets, registry=self.registry)

    def show_models(self, live: str, shadows: Iterable[str]) -> None:
        """Show the models, by their hashes, that this process scores with from now on."""
        self.models.clear()
        self.models.labels(live, "live").set(1)
        for shadow in shadows:
            self.models.labels(shadow, "shadow").set(1)

    def note_work(self) -> None:
        """Note that a message was read or a batch committed now: what lies between is the time of the work."""
        now = monotonic()
        self._first_work = self._first_work or now
        self._last_work = now

    def working_seconds(self) -> float:
        """Return the time from the first message read to the last batch committed."""
        return self._last_work - (self._first_work or self._last_work)

    def observe_latency(self, seconds: float) -> None:
        """Record one message's time from append to commit."""
        self.latency.observe(max(seconds, 0.0))
        self.recent_latencies.append(seconds)

    def value(self, name: str, **labels: str) -> float:
        """Return a sample's value, 0.0 where nothing was recorded."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def latency_quantiles(self) -> tuple[float, float] | None:
        """Return the median and the 99th percentile of recent latencies in seconds, None without any."""
        if not self.recent_latencies:
            return None
        ordered = sorted(self.recent_latencies)
        return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

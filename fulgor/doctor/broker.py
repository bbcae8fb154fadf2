"""The broker, the group protocol, and the topics."""

from __future__ import annotations

from collections.abc import Mapping

from fulgor.consumer.kafkaadmin import Cluster, check_pattern
from fulgor.consumer.publisher import check_target
from fulgor.consumer.settings import Settings
from fulgor.doctor.check import Check, guarded, passed, skipped, warned
from fulgor.errors import BrokerError, SettingsError

__all__ = ["check_broker"]

_DAY_MS = 86_400_000
_SMALL_BYTES = 1_000_000


def check_broker(settings: Settings, topic: str) -> list[Check]:
    """Look at the broker and at the topic, which may be a pattern, that a consumer would read."""
    try:
        cluster = Cluster(settings.bootstrap, settings.kafka)
    except (BrokerError, SettingsError) as error:
        failed = error  # the name of an except clause is gone after it, and a check is made later

        def fail() -> Check:
            raise failed

        names = ("group protocol", "topic", *(("alerts topic",) if settings.alerts_to else ()))
        return [guarded("broker", fail), *skipped(names, "the broker does not answer")]
    checks = [
        passed("broker", f"{cluster.bootstrap}: cluster {cluster.id or 'without an id'}"),
        guarded("group protocol", lambda: _protocol(cluster, settings)),
        guarded("topic", lambda: _topic(cluster, topic)),
    ]
    if settings.alerts_to is not None:
        checks.append(guarded("alerts topic", lambda: _alerts(cluster, str(settings.alerts_to), topic)))
    return checks


def _protocol(cluster: Cluster, settings: Settings) -> Check:
    chosen = cluster.group_protocol(settings.group_protocol)
    asked = "" if settings.group_protocol == chosen else f" ({settings.group_protocol})"
    return passed("group protocol", f"{chosen}{asked}")


def _topic(cluster: Cluster, topic: str) -> Check:
    if topic.startswith("^"):
        check_pattern(topic)
    found = cluster.matching(topic)
    if not found and topic.startswith("^"):
        return warned("topic", f"no topic matches {topic} yet: a consumer would wait for one")
    cluster.require_topic(topic)
    name = max(found)
    partitions = sum(found.values())
    where = name if len(found) == 1 else f"{len(found)} topics match {topic}, the last is {name}"
    facts, problems = _described(cluster.topic_settings(name))
    text = f"{where}: {partitions} partition{'s' if partitions != 1 else ''}{facts}"
    return warned("topic", f"{text}; {'; '.join(problems)}") if problems else passed("topic", text)


def _described(settings: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return what a topic's settings say, and what of it is a reason to worry."""
    if not settings:
        return ", the broker does not tell its settings", []
    facts, problems = [], []
    if (largest := settings.get("max.message.bytes")) is not None:
        facts.append(f"messages up to {int(largest):,} bytes")
        if int(largest) < _SMALL_BYTES:
            problems.append("large messages cannot be produced to it: raise its max.message.bytes")
    if (kept := settings.get("retention.ms")) is not None:
        facts.append("kept for ever" if int(kept) < 0 else f"kept for {int(kept) / _DAY_MS:.3g} days")
        if 0 <= int(kept) < _DAY_MS:
            problems.append("an outage of a day loses messages: raise its retention.ms")
    if (kind := settings.get("message.timestamp.type")) is not None:
        clock = "the broker's" if kind == "LogAppendTime" else "the producer's"
        facts.append(f"{kind}: latency is counted from {clock} clock")
    return "".join(f", {fact}" for fact in facts), problems


def _alerts(cluster: Cluster, alerts_to: str, topic: str) -> Check:
    check_target(cluster, alerts_to, cluster.matching(topic))
    return passed("alerts topic", f"{alerts_to} is there")

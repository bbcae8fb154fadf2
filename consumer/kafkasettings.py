"""librdkafka's settings of a group member and of a producer: ours, the user's, and those that nobody may touch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fulgor.errors import SettingsError

__all__ = ["member_config", "producer_config"]

# Measured: the default of 1,000 ms halves the throughput whenever the local queue fills up.
_CLIENT = {
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 65536,
    "fetch.wait.max.ms": 100,
    "check.crcs": True,
    "topic.metadata.refresh.interval.ms": 5000,
}
# librdkafka refuses these under KIP-848: the broker decides.
_CLASSIC_ONLY = ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type")
# What makes "delivered" mean delivered once.
_DELIVERY: Mapping[str, Any] = {"enable.idempotence": True, "acks": "all"}
_OWN = ("enable.auto.commit", "auto.offset.reset", "enable.partition.eof", "group.id", "group.protocol")


def member_config(passed: Mapping[str, Any], group: str, protocol: str, session_timeout_ms: int) -> dict[str, Any]:
    """Return the settings of one member of a consumer group.

    Parameters
    ----------
    passed : mapping
        The cluster's settings with the user's.
    group : str
        Consumer group.
    protocol : {'consumer', 'classic'}
        Group protocol.
    session_timeout_ms : int
        Silence after which the partitions are given away; under KIP-848 the broker decides it.

    Raises
    ------
    SettingsError
        One of the user's is not allowed.
    """
    classic: dict[str, Any] = {}
    if protocol == "classic":
        classic = {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session_timeout_ms,
            # A third, as under KIP-848: with the default of 3 s a short session would end between two heartbeats.
            "heartbeat.interval.ms": max(session_timeout_ms // 3, 300),
        }
    else:
        _refuse_classic(passed)
    for name in _OWN:
        if name in passed:
            raise SettingsError(f"kafka setting {name} is fulgor's own: the exactly-once transaction rests on it")
    return {**_CLIENT, **classic, **passed, "group.id": group, "group.protocol": protocol}


def _refuse_classic(passed: Mapping[str, Any]) -> None:
    for name in _CLASSIC_ONLY:
        if name in passed:
            raise SettingsError(
                f"kafka setting {name} is not allowed under group.protocol=consumer: the broker decides it;"
                " remove it or set group_protocol = classic"
            )


def producer_config(passed: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a producer that neither loses nor doubles a message.

    Parameters
    ----------
    passed : mapping
        The cluster's settings with the user's.
    defaults : mapping
        What stands where the user says nothing.

    Raises
    ------
    SettingsError
        One of the user's would have messages lost or doubled.
    """
    for name, value in _DELIVERY.items():
        if str(passed.get(name, value)).lower() != str(value).lower():
            raise SettingsError(
                f"kafka setting {name}={passed[name]}: is fixed to {value}, or messages could be lost or doubled"
            )
    return {**defaults, **passed, **_DELIVERY}

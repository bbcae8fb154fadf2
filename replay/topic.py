"""The topic to produce to: there, or made, and what it takes."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.errors import SettingsError, TopicError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES

__all__ = ["ENVELOPE_BYTES", "Topic", "open_topic", "refuse_production", "timestamp_refusal"]

LEGAL_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
PATIENCE_S: Final = 30.0
ENVELOPE_BYTES: Final = 64 * 1024
"""What a created topic allows beyond the value: record batch header, key and headers."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the broker describes it.

    Parameters
    ----------
    name : str
        Its name.
    partitions : int
        Number of partitions.
    settings : mapping of str to str
        Its configuration, as far as the broker tells it.
    """

    name: str
    partitions: int
    settings: Mapping[str, str]

    @property
    def max_message_bytes(self) -> int | None:
        """Largest record batch that the broker accepts; None where it does not say."""
        value = self.settings.get("max.message.bytes")
        return int(value) if value else None


def open_topic(cluster: Cluster, name: str, *, create: int | None = None) -> Topic:
    """Describe a topic, creating it first where that is asked for.

    Parameters
    ----------
    cluster : Cluster
        A broker that answers.
    name : str
        The topic.
    create : int, optional
        Create the topic with this many partitions if it does not exist.

    Raises
    ------
    TopicError
        There is no such topic, it cannot be created, or the name can be none.
    """
    if name.startswith("^"):
        raise TopicError(f"topic {name!r} is a pattern; give the name of the one topic to produce to")
    if not LEGAL_NAME.fullmatch(name):
        raise TopicError(f"topic {name!r}: a name has 1 to 249 letters, digits, dots, underscores and dashes")
    admin = AdminClient(cluster.config)
    partitions = cluster.matching(name).get(name)
    if partitions is None:
        if create is None:
            raise TopicError(f"topic {name!r} does not exist on {cluster.bootstrap}; --create PARTITIONS makes it")
        partitions = create if _create(admin, name, create) else cluster.matching(name).get(name, create)
    return Topic(name, partitions, _settings(admin, name))


def refuse_production(topic: str, protected: Mapping[str, str], allowed: str | None) -> None:
    """Refuse to write into a topic that others consume, unless the user has named it twice.

    Parameters
    ----------
    topic : str
        Where to.
    protected : mapping of str to str
        Topics, or patterns that begin with ``^``, each with what it is.
    allowed : str, optional
        What ``--yes-into`` names.

    Raises
    ------
    SettingsError
        The topic is a protected one and was not named, or another one was.
    """
    if allowed is not None and allowed != topic:
        raise SettingsError(f"--yes-into {allowed} names another topic than --topic {topic}")
    if allowed == topic:
        return
    for name, what in protected.items():
        if topic == name or (name.startswith("^") and re.search(name, topic)):
            raise SettingsError(
                f"topic {topic!r} is {what}: a replay there mixes with live alerts for all of its consumers;"
                f" choose another topic, or say --yes-into {topic}"
            )


def _create(admin: AdminClient, name: str, partitions: int) -> bool:
    """Create a topic; False where somebody else was faster by a moment."""
    settings = {"max.message.bytes": str(MESSAGE_MAX_BYTES + ENVELOPE_BYTES)}
    topic = NewTopic(name, num_partitions=partitions, replication_factor=-1, config=settings)
    try:
        admin.create_topics([topic], request_timeout=PATIENCE_S)[name].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise TopicError(f"topic {name!r} cannot be created: {error.args[0].str()}") from error
    return True


def _settings(admin: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    try:
        entries = admin.describe_configs([resource], request_timeout=PATIENCE_S)[resource].result()
    except KafkaException as error:
        # A user who may write need not be allowed to describe: go on without knowing the limits.
        logger.warning("topic %s: its settings cannot be read: %s", name, error.args[0].str())
        return {}
    return {key: entry.value for key, entry in entries.items() if entry.value is not None}


def timestamp_refusal(topic: Topic, time_ms: int, now_ms: int) -> str | None:
    """Say why a message of that time cannot carry it as its Kafka timestamp; None where it can.

    Parameters
    ----------
    topic : Topic
        Where it shall go.
    time_ms, now_ms : int
        Original time and present, Unix ms.
    """
    settings, age = topic.settings, now_ms - time_ms
    kind = settings.get("message.timestamp.type")
    if kind is None:
        return f"the broker does not tell the retention of topic {topic.name!r}, so it may delete old messages at once"
    if kind != "CreateTime":
        return f"topic {topic.name!r} has message.timestamp.type={kind}: the broker puts its own time"
    deletes = "delete" in settings.get("cleanup.policy", "delete")
    if deletes and _exceeds(age, settings.get("retention.ms")):
        return (
            f"topic {topic.name!r} keeps messages for {_days(settings['retention.ms'])} (retention.ms), this one is"
            f" {age / 86_400_000:.0f} days old: it would be deleted within minutes; set retention.ms=-1 on the topic"
        )
    for key, limit in (("before", age), ("after", -age)):
        if _exceeds(limit, settings.get(f"message.timestamp.{key}.max.ms")):
            return f"topic {topic.name!r} refuses times so far from now (message.timestamp.{key}.max.ms)"
    return None


def _exceeds(age_ms: int, limit: str | None) -> bool:
    return limit is not None and 0 <= int(limit) < age_ms


def _days(milliseconds: str) -> str:
    return f"{int(milliseconds) / 86_400_000:.3g} days"

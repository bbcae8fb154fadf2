"""The topic to produce to: reachable, known, its limits; each failure with its own message, in seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from fulgor.errors import BrokerError, SettingsError, TopicError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES

__all__ = ["ENVELOPE_BYTES", "BrokerErrors", "KafkaConfig", "Topic", "open_topic", "timestamp_refusal"]

KafkaConfig = Mapping[str, str | int | float | bool]

PATIENCE_S: Final = 5.0
ENVELOPE_BYTES: Final = 64 * 1024
"""What a created topic allows beyond the value: record batch header, key and headers."""

logger = logging.getLogger(__name__)


class BrokerErrors:
    """What librdkafka's threads report about the connection; the calls themselves only say that it failed.

    Parameters
    ----------
    bootstrap : str
        The broker's address, for messages.
    """

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._latest: dict[str, str] = {}

    def __call__(self, error: KafkaError) -> None:
        """Keep an error: librdkafka's ``error_cb``."""
        self._latest[error.name()] = error.str()

    @property
    def hopeless(self) -> bool:
        """Whether waiting longer cannot help: refused credentials or a refused certificate."""
        return bool(self._latest.keys() & {"_AUTHENTICATION", "_SSL"})

    def explain(self, fallback: str) -> BrokerError:
        """Return the error that tells the user what to do."""
        if text := self._latest.get("_AUTHENTICATION"):
            return BrokerError(f"broker {self.bootstrap} refuses the user name or password: {text}")
        if text := self._latest.get("_SSL"):
            return BrokerError(f"broker {self.bootstrap}: TLS fails (is ssl.ca.location right?): {text}")
        if text := self._latest.get("_RESOLVE"):
            return BrokerError(f"broker {self.bootstrap}: no such host: {text}")
        cause = self._latest.get("_TRANSPORT") or self._latest.get("_BAD_MSG") or fallback
        return BrokerError(
            f"broker {self.bootstrap} cannot be reached: {cause} (is it running, is the address right,"
            " does the port want another security.protocol?)"
        )


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


def open_topic(name: str, config: KafkaConfig, *, create: int | None = None) -> Topic:
    """Reach the broker and describe a topic, creating it first where that is asked for.

    Parameters
    ----------
    name : str
        The topic.
    config : mapping
        librdkafka settings, ``bootstrap.servers`` among them.
    create : int, optional
        Create the topic with this many partitions if it does not exist.

    Raises
    ------
    SettingsError
        librdkafka knows no such setting or value.
    BrokerError
        The broker cannot be reached or refuses us.
    TopicError
        There is no such topic, or it cannot be created.
    """
    errors = BrokerErrors(str(config.get("bootstrap.servers", "")))
    full: dict[str, Any] = {**config, "error_cb": errors, "logger": logger}
    try:
        admin = AdminClient(full)
    except KafkaException as error:
        raise SettingsError(f"Kafka settings: {_text(error)}") from error
    known = _topics(admin, errors)
    if name not in known:
        if create is None:
            raise TopicError(
                f"topic {name!r} does not exist on {errors.bootstrap}, or is hidden from this user; --create N makes it"
            )
        _create(admin, name, create)
        known = {**known, name: create}
    return Topic(name, known[name], _settings(admin, name))


def _topics(admin: AdminClient, errors: BrokerErrors) -> dict[str, int]:
    """List all topics: asking for one by name creates it on brokers that create topics automatically."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            listed = admin.list_topics(timeout=1.0).topics
        except KafkaException as error:
            admin.poll(0.1)
            if errors.hopeless or time.monotonic() > deadline:
                raise errors.explain(_text(error)) from error
        else:
            return {name: len(topic.partitions) for name, topic in listed.items()}


def _create(admin: AdminClient, name: str, partitions: int) -> None:
    settings = {"max.message.bytes": str(MESSAGE_MAX_BYTES + ENVELOPE_BYTES)}
    topic = NewTopic(name, num_partitions=partitions, replication_factor=-1, config=settings)
    try:
        admin.create_topics([topic], request_timeout=PATIENCE_S)[name].result()
    except KafkaException as error:
        raise TopicError(f"topic {name!r} cannot be created: {_text(error)}") from error


def _settings(admin: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, name)
    try:
        entries = admin.describe_configs([resource], request_timeout=PATIENCE_S)[resource].result()
    except KafkaException as error:
        # A user who may write need not be allowed to describe: go on without knowing the limits.
        logger.warning("topic %s: its settings cannot be read: %s", name, _text(error))
        return {}
    return {key: entry.value for key, entry in entries.items() if entry.value is not None}


def _text(error: KafkaException) -> str:
    cause: Any = error.args[0]
    return str(cause.str())


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

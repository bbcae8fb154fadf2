"""The broker before anything is consumed: reachable, which topics, which group protocol."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import Future
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._group import ConsumerGroupDescription

from fulgor.consumer.diagnosis import check_files, diagnose
from fulgor.consumer.kafkaerrors import Causes, hint
from fulgor.errors import BrokerError, SettingsError, TopicError
from fulgor.preprocessing.limits import MESSAGE_MAX_BYTES

__all__ = ["Cluster", "check_pattern", "member_ids"]

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_PATIENCE_S = 1.0
_ANSWER_S = 15.0  # of a broker that was reached: one that stands still for seconds is not to decide how a group works
_EMBEDDED = "tansu_cluster"
_PERL_CLASSES = re.compile(r"\\[dDwWsS]")


class Cluster:
    """A broker that answers.

    Parameters
    ----------
    bootstrap : str
        ``host:port[,host:port]``.
    passed : mapping
        librdkafka settings of the user: SASL, TLS, tuning.

    Raises
    ------
    BrokerError
        Nothing answers, or it refuses us; the message names the cause.
    SettingsError
        A librdkafka setting is unknown or has an impossible value.
    """

    def __init__(self, bootstrap: str, passed: Mapping[str, Any]) -> None:
        self.bootstrap = bootstrap
        self._causes = Causes()
        self.config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "client.id": "fulgor",
            "receive.message.max.bytes": 100_000_000,
            "message.max.bytes": MESSAGE_MAX_BYTES,
            "log_level": 0,  # librdkafka prints to stderr by itself; what matters reaches us through error_cb
            **passed,
        }
        check_files(self.config)
        try:
            self._admin = AdminClient(self.config | {"error_cb": self._causes.remember})
        except KafkaException as error:
            text = error.args[0].str()
            raise SettingsError(f"kafka settings: {text}{hint(text)}") from None
        metadata = self._metadata()
        self.id = str(metadata.cluster_id or "")
        self._broker = next(iter(metadata.brokers), None)

    @property
    def is_embedded(self) -> bool:
        """True for the broker that comes with the product."""
        return self.id == _EMBEDDED

    def matching(self, topic: str) -> dict[str, int]:
        """Return the existing topics that a name or pattern means, with their numbers of partitions."""
        found = {name: len(meta.partitions) for name, meta in self._metadata().topics.items() if meta.error is None}
        if not topic.startswith("^"):
            return {topic: found[topic]} if topic in found else {}
        pattern = check_pattern(topic)
        return {name: count for name, count in found.items() if pattern.search(name)}

    def require_topic(self, topic: str) -> None:
        """Refuse a name that does not exist; a pattern may match later.

        Raises
        ------
        TopicError
            With the nearest names that do exist.
        """
        if self.matching(topic):
            return
        if topic.startswith("^"):
            log.warning("no topic matches %s yet; waiting for one", topic)
            return
        names = sorted(name for name in self._metadata().topics if not name.startswith("__"))
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none at all"
        raise TopicError(f"topic {topic!r} does not exist on {self.bootstrap}; it has: {shown}")

    def topic_id(self, topic: str) -> str:
        """Return the broker's id of a topic, '' where it gives none.

        Raises
        ------
        TopicError
            There is no such topic.
        BrokerError
            The broker does not answer, or does not let us ask.
        """
        try:
            future = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_ANSWER_S)[topic]
            return str(future.result(_ANSWER_S).topic_id or "")
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicError(f"topic {topic!r} does not exist on {self.bootstrap}") from error
            if code in (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE):
                return ""
            raise BrokerError(f"topic {topic!r}: cannot be described: {self.explain(error.args[0])}") from error
        except TimeoutError:
            raise BrokerError(
                f"topic {topic!r}: the broker {self.bootstrap} did not say within {_ANSWER_S:.0f} s what it is"
            ) from None

    def cleanup_policy(self, topic: str) -> str:
        """Return a topic's ``cleanup.policy``, '' where the broker does not say."""
        try:
            return self._config(ConfigResource(ConfigResource.Type.TOPIC, topic), "cleanup.policy") or ""
        except (KafkaException, TimeoutError) as error:
            log.info("topic %s: the broker does not say its cleanup.policy (%s)", topic, error)
            return ""

    def topic_settings(self, topic: str) -> dict[str, str]:
        """Return a topic's configuration, empty where the broker does not tell it."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        try:
            entries = self._admin.describe_configs([resource], request_timeout=_ANSWER_S)[resource]
            found = entries.result(_ANSWER_S)
        except (KafkaException, TimeoutError) as error:
            log.info("topic %s: its settings cannot be read (%s)", topic, error)
            return {}
        return {name: str(entry.value) for name, entry in found.items() if entry.value is not None}

    def group_protocol(self, wanted: str) -> str:
        """Return the group protocol to use: KIP-848 where the broker has it, unless told otherwise."""
        if wanted != "auto":
            return wanted
        if self._has_kip848():
            return "consumer"
        log.info("the broker does not offer group.protocol=consumer; using the classic protocol")
        return "classic"

    def _has_kip848(self) -> bool:
        if self._broker is None:
            return False
        try:
            broker = ConfigResource(ConfigResource.Type.BROKER, str(self._broker))
            found = self._config(broker, "group.coordinator.rebalance.protocols")
        except (KafkaException, TimeoutError) as error:
            log.info("the broker does not say which group protocols it has (%s)", error)
            return False
        return found is not None and "consumer" in found

    def members(self, group: str) -> Future[ConsumerGroupDescription]:
        """Ask for a group's members, without waiting; :func:`member_ids` reads the answer."""
        return self._admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]

    def set_session_timeout(self, group: str, timeout_ms: int) -> None:
        """Set how soon a silent member of a KIP-848 group is replaced; there it is the broker's setting.

        The broker's default is 45 s, and it may refuse less: then its own value stands, with a log line.
        """
        wanted = {
            "consumer.heartbeat.interval.ms": max(timeout_ms // 3, 300),
            "consumer.session.timeout.ms": timeout_ms,
        }
        entries = [
            ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
        ]
        resource = ConfigResource(ConfigResource.Type.GROUP, group, incremental_configs=entries)
        try:
            # In one request: the broker wants the time-out to be the longer of the two at any time.
            self._admin.incremental_alter_configs([resource])[resource].result(_ANSWER_S)
        except (KafkaException, TimeoutError) as error:
            log.info("group %s: the broker keeps its own session time-out (%s)", group, error)

    def _config(self, resource: ConfigResource, name: str) -> str | None:
        entries = self._admin.describe_configs([resource], request_timeout=_ANSWER_S)[resource]
        found = entries.result(_ANSWER_S).get(name)
        return None if found is None else str(found.value)

    def explain(self, error: KafkaError) -> str:
        """Return a broker error with the cause that librdkafka gives only to its error callback."""
        return self._causes.explain(error)

    def _metadata(self) -> Any:
        give_up = monotonic() + _TIMEOUT_S
        while True:
            try:
                return self._admin.list_topics(timeout=_PATIENCE_S)
            except KafkaException as error:
                self._admin.poll(0)  # delivers what waits for the error callback
                if monotonic() >= give_up or self._causes.are_hopeless():
                    raise BrokerError(f"broker {self.bootstrap}: {self._diagnosed(error.args[0])}") from None

    def _diagnosed(self, error: KafkaError) -> str:
        found = None
        if self._causes.are_vague(error):
            found = diagnose(self.bootstrap, str(self.config.get("security.protocol", "PLAINTEXT")))
        return found or self.explain(error)


def member_ids(answer: Future[ConsumerGroupDescription]) -> set[str]:
    """Return the ids of a group's members; none where the broker does not tell them."""
    try:
        return {member.member_id for member in answer.result(0).members}
    except KafkaException as error:
        log.debug("the broker does not tell a group's members: %s", error)
        return set()


def check_pattern(topic: str) -> re.Pattern[str]:
    r"""Compile a topic pattern, refusing what brokers read otherwise.

    Raises
    ------
    TopicError
        It holds ``\d`` or the like, which match nothing under the classic protocol, or is no pattern.
    """
    if found := _PERL_CLASSES.search(topic):
        raise TopicError(
            f"topic pattern {topic!r}: {found.group()} matches nothing under the classic group protocol;"
            " write [0-9] for a digit, such as ^ztf_[0-9]{8}_programid1$"
        )
    try:
        return re.compile(topic)
    except re.error as error:
        raise TopicError(f"topic pattern {topic!r}: {error}") from None

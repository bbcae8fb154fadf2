"""What is checked, and found out, before the first message is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fulgor.consumer.bounds import parse_start
from fulgor.consumer.claims import GroupStart
from fulgor.consumer.kafka import KafkaSource
from fulgor.consumer.kafkaadmin import Cluster, check_pattern
from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.preparation import check_preparation
from fulgor.consumer.settings import Settings
from fulgor.consumer.source import Source
from fulgor.consumer.stream import Predictor, Stream
from fulgor.consumer.switching import Loader
from fulgor.errors import ModelError
from fulgor.storage.database import ANSWER_S, Connection, connect, translated
from fulgor.storage.feeds import first_start
from fulgor.storage.migrate import check_schema
from fulgor.storage.registry import register_model

__all__ = ["Consumption", "Started", "kafka_source", "register", "start_up"]

log = logging.getLogger(__name__)
_EMBEDDED_SESSION_MS = 3_000


@dataclass(frozen=True, slots=True)
class Consumption:
    """What to consume: an instrument, its models, and where the rows go.

    Parameters
    ----------
    stream : Stream
        The instrument.
    predictor : Predictor
        The model whose rows account for the messages.
    database, group : str
        Where the rows go, and as which consumer group.
    shadows : sequence of Predictor
        Models whose rows stand beside.
    follow : callable, optional
        Loads a registered model. With it, the consumer takes over each model that is promoted or put into
        the live one's shadow while it runs; without, it stays with the models named here.
    """

    stream: Stream
    predictor: Predictor
    database: str
    group: str
    shadows: Sequence[Predictor] = ()
    follow: Loader | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """What was found in good order: the models with their keys, the source, and where the group began."""

    lineup: Lineup
    source: Source
    begin: GroupStart


def start_up(what: Consumption, open_source: Callable[[], Source], start: str) -> Started:
    """Check settings, database, schema and models, and then open the source.

    Parameters
    ----------
    what : Consumption
        What to consume.
    open_source : callable
        Checks the broker and the topic.
    start : str
        Where the group begins, should this be its first start: ``earliest``, ``latest`` or an ISO time.

    Raises
    ------
    FulgorError
        Something is not in order; each kind of it has its class and its message.
    """
    parse_start(start)
    with translated(what.database), connect(what.database, answer_s=ANSWER_S) as connection:
        lineup = register(connection, what)
        source = open_source()
        stream = what.stream.name
        found, topics = first_start(connection, what.group, source.cluster, stream, start, source.partitions())
    return Started(lineup, source, GroupStart(what.group, found, topics))


def register(connection: Connection, what: Consumption) -> Lineup:
    """Check tables and models, and return the models with their keys, entering those that are new.

    Raises
    ------
    ModelError
        A model was trained on another preparation, or is named twice.
    SchemaVersionError
        The tables are not this program's.
    """
    predictors = [what.predictor, *what.shadows]
    for predictor in predictors:
        check_preparation(what.stream, predictor.preprocessing_hash)
    check_schema(connection, what.stream.table)
    scorers = [Scorer(register_model(connection, one.card), one) for one in predictors]
    if len({scorer.model_id for scorer in scorers}) < len(scorers):
        raise ModelError("the same model is named twice: each scores an alert once")
    return Lineup(scorers[0], tuple(scorers[1:]))


def kafka_source(settings: Settings, topic: str, group: str) -> KafkaSource:
    """Check the broker and the topic, and return a group member ready to subscribe.

    Raises
    ------
    TopicError
        The topic does not exist, or the pattern can match nothing.
    BrokerError
        The broker cannot be reached or refuses us.
    """
    if topic.startswith("^"):
        check_pattern(topic)
    cluster = Cluster(settings.bootstrap, settings.kafka)
    cluster.require_topic(topic)
    protocol = cluster.group_protocol(settings.group_protocol)
    log.info("broker %s, topic %s, group %s, protocol %s", settings.bootstrap, topic, group, protocol)
    session_timeout_ms = _session_timeout_ms(settings, cluster)
    if protocol == "consumer":
        cluster.set_session_timeout(group, session_timeout_ms)
    return KafkaSource(cluster, topic, group, protocol=protocol, session_timeout_ms=session_timeout_ms)


def _session_timeout_ms(settings: Settings, cluster: Cluster) -> int:
    """Return what was asked for; the embedded broker makes a group's first member wait half of it [measured]."""
    if cluster.is_embedded and "session_timeout_ms" not in settings.model_fields_set:
        return min(settings.session_timeout_ms, _EMBEDDED_SESSION_MS)
    return settings.session_timeout_ms

"""The job ``late-history``: each waiting row is computed again by its own model, from its own message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fulgor.consumer.settings import Settings
from fulgor.errors import ArchiveError, BrokerError, ModelError
from fulgor.storage.database import Connection
from fulgor.storage.history import find_late
from fulgor.storage.registry import Model, get_model
from fulgor.storage.rescores import forget_dropped, has_topics_waiting, read_backlog, waiting_models

if TYPE_CHECKING:
    from fulgor.replay.lookup import MessageFinder
    from fulgor.replay.settle import Settled

__all__ = ["settle_history"]

log = logging.getLogger(__name__)


def settle_history(connection: Connection, settings: Settings) -> str:
    """Find the rows that lack earlier alerts of their objects which are stored by now, and compute them again.

    Parameters
    ----------
    connection : Connection
        In autocommit mode.
    settings : Settings
        Of them: the database, the broker, the recordings, the models' store and device.

    Returns
    -------
    str
        What was done, in words. Rows whose broker or model is not to be had go on waiting, with a warning.
    """
    forget_dropped(connection)
    late = find_late(connection)
    models = [get_model(connection, model_id) for model_id in waiting_models(connection)]
    if not models:
        return f"{late} rows late"
    finder = _finder(connection, settings)
    done = [settled for model in models if (settled := _settle(connection, model, finder, settings)) is not None]
    revised, gone = sum(one.revised for one in done), sum(one.gone for one in done)
    return f"{late} rows late, {revised} revised, {gone} gone, {read_backlog(connection).late} wait"


def _finder(connection: Connection, settings: Settings) -> MessageFinder:
    from fulgor.consumer.kafkaadmin import Cluster
    from fulgor.replay.lookup import MessageFinder

    if not has_topics_waiting(connection):
        return MessageFinder()
    try:
        cluster = Cluster(settings.bootstrap, settings.kafka)
    except BrokerError as error:
        log.warning("rows whose messages lie in a topic and in no recording wait: %s", error)
        cluster = None
    try:
        return MessageFinder(cluster, settings.recordings)
    except ArchiveError as error:  # a disk may be away for an hour: nothing is given up for it
        log.warning("rows whose messages lie in a topic wait: %s", error)
        return MessageFinder()


def _settle(connection: Connection, model: Model, finder: MessageFinder, settings: Settings) -> Settled | None:
    from fulgor.cli.services import database_url, model_source
    from fulgor.consumer.lineup import Scorer
    from fulgor.consumer.preparation import check_preparation
    from fulgor.replay.settle import settle
    from fulgor.streams.registry import instrument

    try:
        stream = instrument(model.stream, settings)
        check_preparation(stream, model.preprocessing_hash)
        predictor = model_source(settings, stream, database_url(settings))(model)
        return settle(connection, stream, Scorer(model.model_id, predictor), finder)
    except (BrokerError, ModelError) as error:
        log.warning("rows of model %s (%s) wait: %s", model.name, model.hash, error)
        return None

"""Models that change while consumers run: promotions noticed, loaded aside, taken over between two batches.

A thread and a connection of its own: Postgres tells of a change by NOTIFY, and every few seconds the
thread looks for itself, for a pooler or a lost connection may swallow the word. A model is loaded
here, off the threads that poll, infer and write. One that cannot be loaded is refused with an error in
the log and in the metrics, and tried again from time to time; the models of before go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import psycopg

from fulgor.consumer.lineup import Lineup, Scorer
from fulgor.consumer.metrics import Metrics
from fulgor.consumer.stream import Predictor, Stream
from fulgor.errors import DatabaseError, FulgorError, ModelError
from fulgor.models.store import reference_id
from fulgor.storage.database import ANSWER_S, Connection, connect, location
from fulgor.storage.drift import NightDrift, latest_drift
from fulgor.storage.lifecycle import CHANNEL
from fulgor.storage.registry import Model, list_models

__all__ = ["Loader", "Switching", "following"]

log = logging.getLogger(__name__)

Loader = Callable[[Model], Predictor]
_WAIT_S = 0.5
_LOOK_S = 5.0
_RETRY_S = 30.0
_STOP_S = 5.0


class Switching:
    """Keeps a consumer's line-up of models equal to what the database says.

    Parameters
    ----------
    database : str
        Its URL.
    stream : Stream
        The instrument.
    lineup : Lineup
        The models that the consumer begins with.
    load : callable
        Loads a registered model.
    take_over : callable
        Called with each new line-up; the consumer adopts it between two batches.
    metrics : Metrics
        Where switches and refusals are counted.
    """

    def __init__(
        self, database: str, stream: Stream, lineup: Lineup, load: Loader,
        take_over: Callable[[Lineup], None], metrics: Metrics,
    ) -> None:  # fmt: skip
        self._database = database
        self._stream = stream
        self._lineup = lineup
        self._load = load
        self._take_over = take_over
        self._metrics = metrics
        self._stopping = Event()
        self._refused: dict[int, float] = {}
        self._drift: tuple[Scorer, NightDrift | None] | None = None
        self._thread = Thread(target=self._run, name="fulgor-models", daemon=True)

    def start(self) -> None:
        """Take in what is registered now, so that the first alert meets the shadows too, and begin to watch."""
        try:
            with connect(self._database, application="fulgor models", answer_s=ANSWER_S) as connection:
                self.look(connection)
        except (psycopg.Error, DatabaseError) as error:
            self._say_away(error)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a model that is being loaded is waited for, but not for long."""
        self._stopping.set()
        self._thread.join(_STOP_S)

    def dead_threads(self) -> list[str]:
        """Return the thread's name if it ended although nobody asked it to."""
        ended = self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set()
        return [self._thread.name] if ended else []

    def look(self, connection: Connection) -> None:
        """Compare the line-up with the database, and load what is new; show how far its alerts have drifted."""
        self._compare(connection)
        self._show_drift(connection)

    def _compare(self, connection: Connection) -> None:
        wanted = list_models(connection, self._stream.name)
        live = next((self._scorer(model) for model in wanted if model.status == "live"), None) or self._lineup.live
        shadows = (self._scorer(model) for model in wanted if model.status == "shadow")
        found = Lineup(live, tuple(scorer for scorer in shadows if scorer is not None and scorer != live))
        if found != self._lineup:
            self._lineup = found
            self._take_over(found)
            self._metrics.model_switches.inc()
            self._show()
            log.info(
                "models from the next batch on: live %s; in its shadow: %s",
                live.predictor.model_hash, ", ".join(s.predictor.model_hash for s in found.shadows) or "none",
            )  # fmt: skip

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with connect(self._database, application="fulgor models", answer_s=ANSWER_S) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._watch(connection)
            except (psycopg.Error, DatabaseError) as error:
                self._say_away(error)
                self._stopping.wait(_LOOK_S)

    def _say_away(self, error: Exception) -> None:
        log.warning("database %s: models are not watched for the moment: %s", location(self._database), error)

    def _watch(self, connection: Connection) -> None:
        next_look = 0.0
        while not self._stopping.is_set():
            told = any(note.payload == self._stream.name for note in connection.notifies(timeout=_WAIT_S, stop_after=1))
            if told:
                self._refused.clear()
            if told or monotonic() >= next_look:
                self.look(connection)
                next_look = monotonic() + _LOOK_S

    def _scorer(self, model: Model) -> Scorer | None:
        """Return a model ready to run; None if it cannot be had, or could not a moment ago."""
        for scorer in (self._lineup.live, *self._lineup.shadows):
            # A refitted reference is no other model, but gives other percentiles.
            if scorer.model_id == model.model_id and reference_id(scorer.predictor.card) == model.reference:
                return scorer
        if monotonic() < self._refused.get(model.model_id, 0.0):
            return None
        try:
            return Scorer(model.model_id, self._checked(model))
        except Exception as error:  # whatever is wrong with a model, the others go on
            self._refused[model.model_id] = monotonic() + _RETRY_S
            self._metrics.model_refusals.labels(model.hash).inc()
            log.error(
                "model %s (%s) cannot take over, the others go on: %s", model.name, model.hash, error,
                exc_info=not isinstance(error, FulgorError),
            )  # fmt: skip
            return None

    def _checked(self, model: Model) -> Predictor:
        if model.preprocessing_hash != self._stream.preprocessing_hash:
            raise ModelError(
                f"it was trained with preparation {model.preprocessing_hash}, this program prepares"
                f" {self._stream.name} with {self._stream.preprocessing_hash}"
            )
        predictor = self._load(model)
        if predictor.model_hash != model.hash:
            raise ModelError(f"its files are those of model {predictor.model_hash}")
        return predictor

    def _show_drift(self, connection: Connection) -> None:
        live = self._lineup.live
        night = latest_drift(connection, live.model_id)
        if (live, night) == self._drift:  # cleared and set again, it would be missing from a page asked for in between
            return
        self._drift = live, night
        self._metrics.drift.clear()
        if night is not None:
            figures = {
                "distance": night.distance,
                "level": night.level,
                "p_value": night.p_value,
                "beyond": night.beyond,
            }
            for name, value in figures.items():
                if value is not None:
                    self._metrics.drift.labels(live.predictor.model_hash, name).set(value)

    def _show(self) -> None:
        shadows = [shadow.predictor.model_hash for shadow in self._lineup.shadows]
        self._metrics.show_models(self._lineup.live.predictor.model_hash, shadows)


@contextmanager
def following(switching: Switching | None) -> Iterator[None]:
    """Watch the models while the block runs; None watches nothing."""
    if switching is None:
        yield
        return
    switching.start()
    try:
        yield
    finally:
        switching.stop()

"""Where a consumer's models come from: the database says which; it and this machine's store hold the files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fulgor.consumer.preparation import check_preparation
from fulgor.consumer.stream import Predictor, Stream
from fulgor.errors import ModelError
from fulgor.models.card import CARD
from fulgor.models.store import ModelStore, model_files, reference_id
from fulgor.storage.database import Connection, connect, translated
from fulgor.storage.lifecycle import announce
from fulgor.storage.migrate import check_schema
from fulgor.storage.modelfiles import has_files, read_files, write_files
from fulgor.storage.registry import Model, find_live, get_model, live_model, register_model

__all__ = ["ModelSource"]

log = logging.getLogger(__name__)


class ModelSource:
    """Adds models to a database, and loads those that are there.

    Parameters
    ----------
    database : str
        Its URL.
    store : ModelStore
        Of this machine.
    load : callable
        Loads a model's folder, ready to run.
    shipped : Path
        The stream's model that comes with the package.
    """

    def __init__(self, database: str, store: ModelStore, load: Callable[[Path], Predictor], shipped: Path) -> None:
        self._database = database
        self._store = store
        self._load = load
        self._shipped = shipped

    def live(self, stream: Stream) -> Predictor:
        """Return the stream's live model; where there is none yet, the shipped one becomes it.

        Raises
        ------
        ModelError
            Its files are nowhere, or are not its own.
        SchemaVersionError
            The tables are not this program's.
        """
        with translated(self._database), connect(self._database) as connection:
            check_schema(connection, stream.table)
            live = find_live(connection, stream.name)
            is_shipped = live is None or live.hash == _card(self._shipped)["model_hash"]
            if live is None or (is_shipped and not has_files(connection, live.model_id)):
                self.add(connection, self._shipped)
                live = live_model(connection, stream.name)
            elif not is_shipped:
                log.info("the live model is %s (%s), not the one that ships with fulgor", live.name, live.hash)
        if live.preprocessing_hash != stream.preprocessing_hash:
            raise ModelError(
                f"the live model {live.name} ({live.hash}) was trained with preparation {live.preprocessing_hash}, this"
                f" program prepares {stream.name} with {stream.preprocessing_hash}: promote one of this version, as"
                f" the one that ships with it is: 'fulgor models add {self._shipped}', then 'fulgor models promote"
                f" {_card(self._shipped)['model_hash']}'"
            )
        return self(live)

    def named(self, stream: Stream, folders: Sequence[Path]) -> list[Predictor]:
        """Return the models of these folders, whatever is live; those that are new become known to the database."""
        predictors = [self._load(folder) for folder in folders]
        for predictor in predictors:
            check_preparation(stream, predictor.preprocessing_hash)
        with translated(self._database), connect(self._database) as connection:
            check_schema(connection, stream.table)
            for folder in folders:
                self.add(connection, folder)
        return predictors

    def add(self, connection: Connection, folder: Path) -> Model:
        """Enter a model with its files; running consumers are told if anything about it is new.

        Raises
        ------
        ModelError
            The folder is damaged, or its hash is registered with other classes or scores.
        """
        files = model_files(folder)
        card = json.loads(files[CARD])
        with connection.transaction():
            model = get_model(connection, register_model(connection, card))
            if not has_files(connection, model.model_id) or read_files(connection, model.model_id) != files:
                write_files(connection, model.model_id, files)
                announce(connection, model.stream)
        return model

    def __call__(self, model: Model) -> Predictor:
        """Load a registered model.

        Raises
        ------
        ModelError
            Its files are nowhere, or are not its own.
        """
        return self._load(self.folder(model))

    def folder(self, model: Model) -> Path:
        """Return a folder with the files of a registered model; see :meth:`__call__`."""
        card = _card(self._shipped)
        if (card["model_hash"], reference_id(card)) == (model.hash, model.reference):
            return self._shipped
        return self._store.find(model.hash, model.reference) or self._fetch(model)

    def _fetch(self, model: Model) -> Path:
        with translated(self._database), connect(self._database) as connection:
            files = read_files(connection, model.model_id)
        if not files:
            raise ModelError(
                f"the files of model {model.name} ({model.hash}) are neither in the store {self._store.root} nor in the"
                " database: add its folder with 'fulgor models add FOLDER'"
            )
        card = json.loads(files.get(CARD, b"{}"))
        if (card.get("model_hash"), reference_id(card)) != (model.hash, model.reference):
            raise ModelError(
                f"the files in the database are those of another model than {model.name} ({model.hash}): add its folder"
                " again with 'fulgor models add FOLDER'"
            )
        return self._store.keep(files)


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(model_files(folder)[CARD])
    return card

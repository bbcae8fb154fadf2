"""The message behind a row: from the archive that it was read from, from a recording, or from the topic.

A stamp is not copied into the database for every alert; its row says where its message lies. What is in
none of these places any more is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fulgor.consumer.fetch import Place, fetch
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.errors import ArchiveError
from fulgor.replay.archive import open_archive
from fulgor.replay.archived import Archive, is_recording

__all__ = ["MessageFinder", "StoredPlace"]

ARCHIVE: Final = "archive"


class StoredPlace(NamedTuple):
    """Where a row's message lies, by the columns of its feed and its offset.

    `cluster` is the broker's cluster id, ``archive`` for files; `topic` then is the archive's path, `topic_id` its
    content, `offset` its index.
    """

    cluster: str
    topic: str
    topic_id: str
    partition: int
    offset: int


class MessageFinder:
    """Reads messages by the places in their rows; archives are opened once.

    Parameters
    ----------
    cluster : Cluster, optional
        A broker that answers; without one, topics are not asked.
    recordings : sequence of Path
        Folders that ``fulgor replay record`` wrote, which hold messages of topics.

    Raises
    ------
    ArchiveError
        One of them is no recording.
    """

    def __init__(self, cluster: Cluster | None = None, recordings: Sequence[Path] = ()) -> None:
        from fulgor.replay.recorded import RecordedArchive  # pyarrow only where it is needed

        for path in recordings:
            if not is_recording(path):
                raise ArchiveError(f"{path}: not a recording")
        self._cluster = cluster
        self._recordings = [RecordedArchive(path) for path in recordings]
        self._archives: dict[str, Archive | None] = {}

    def find(self, places: Iterable[StoredPlace], *, timeout_s: float = 20.0) -> dict[StoredPlace, bytes]:
        """Return the messages that are still to be had.

        Parameters
        ----------
        places : iterable of StoredPlace
            Of a few rows: each is looked up on its own.
        timeout_s : float
            Longest time for the topic.

        Returns
        -------
        dict of StoredPlace to bytes
            What is gone is absent: an archive that was moved or changed, a message that the topic does not hold.

        Raises
        ------
        BrokerError
            The broker refuses us, or did not answer in time.
        """
        wanted = list(dict.fromkeys(places))
        found = {place: value for place in wanted if (value := self._at_rest(place)) is not None}
        if self._cluster is None:
            return found
        left = {
            Place(Partition(place.topic, place.partition), place.offset): place
            for place in wanted
            if place not in found and place.cluster == self._cluster.id
        }
        return found | {left[at]: value for at, value in fetch(self._cluster, left, timeout_s=timeout_s).items()}

    def _at_rest(self, place: StoredPlace) -> bytes | None:
        if place.cluster == ARCHIVE:
            return self._in_archive(place)
        for recording in self._recordings:
            if recording.cluster == place.cluster:
                message = recording.find(place.topic, place.topic_id, place.partition, place.offset)
                if message is not None:
                    return message.value
        return None

    def _in_archive(self, place: StoredPlace) -> bytes | None:
        archive = self._open(place.topic)
        # An archive that has changed numbers its messages anew: a wrong stamp would be worse than none.
        if archive is None or archive.identity.content != place.topic_id:
            return None
        try:
            message = next(archive.messages(place.offset), None)
        except ArchiveError:
            return None  # cut or damaged before it
        return message.value if message is not None and message.index == place.offset else None

    def _open(self, path: str) -> Archive | None:
        if path not in self._archives:
            try:
                self._archives[path] = open_archive(path)
            except ArchiveError:
                self._archives[path] = None  # moved away
        return self._archives[path]

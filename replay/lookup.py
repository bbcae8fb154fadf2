"""The message behind a row: from the archive that it was read from, from a recording, or from the topic.

A stamp is not copied into the database for every alert; its row says where its message lies. What is in
none of these places any more is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Final

from fulgor.consumer.fetch import Place, fetch
from fulgor.consumer.kafkaadmin import Cluster
from fulgor.consumer.messages import Partition
from fulgor.errors import ArchiveError, TopicError
from fulgor.replay.archive import open_archive
from fulgor.replay.archived import Archive, ArchivedMessage, require_recording
from fulgor.storage.places import StoredPlace

__all__ = ["ARCHIVE", "MessageFinder"]

ARCHIVE: Final = "archive"
_NEAR: Final = 8


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
            require_recording(path)
        self._cluster = cluster
        self._recordings = [RecordedArchive(path) for path in recordings]
        self._archives: dict[str, Archive | None] = {}
        self._topic_ids: dict[str, str | None] = {}

    def find(self, places: Iterable[StoredPlace], *, timeout_s: float = 20.0) -> dict[StoredPlace, bytes]:
        """Return the messages that are still to be had.

        Parameters
        ----------
        places : iterable of StoredPlace
            Of some hundred rows at the most.
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
        found = self._at_rest(wanted)
        if self._cluster is None:
            return found
        self._topic_ids.clear()
        left = {
            Place(Partition(place.topic, place.partition), place.offset): place
            for place in wanted
            if place not in found and self._is_that_topic(place)
        }
        return found | {left[at]: value for at, value in fetch(self._cluster, left, timeout_s=timeout_s).items()}

    def reaches(self, place: StoredPlace) -> bool:
        """Tell whether a message that is not found there is gone, and not just out of our reach."""
        return place.cluster == ARCHIVE or (self._cluster is not None and place.cluster == self._cluster.id)

    def why_not(self, place: StoredPlace) -> str:
        """Return in words why `find` does not give a place's message."""
        if place.cluster == ARCHIVE:
            archive = self._open(place.topic)
            if archive is None:
                return f"archive {place.topic} is not there any more"
            if archive.identity.content != place.topic_id:
                return f"archive {place.topic} has changed since it was read"
            return f"archive {place.topic} is cut or damaged before message {place.offset}"
        where = f"topic {place.topic!r}, partition {place.partition}, offset {place.offset}"
        if self._cluster is None:
            return f"{where}: no broker answered"
        if place.cluster != self._cluster.id:
            return f"{where}: is of another cluster than {self._cluster.bootstrap}; name its broker with --bootstrap"
        if not self._is_that_topic(place):
            return f"{where}: the topic was deleted, or made anew"
        return f"{where}: the broker does not hold it any more"

    def _is_that_topic(self, place: StoredPlace) -> bool:
        """Say whether the topic is still the one that was read: another of its name numbers its messages anew."""
        if self._cluster is None or place.cluster != self._cluster.id:
            return False
        if place.topic not in self._topic_ids:
            try:
                self._topic_ids[place.topic] = self._cluster.topic_id(place.topic)
            except TopicError:
                self._topic_ids[place.topic] = None  # deleted
        return self._topic_ids[place.topic] == place.topic_id

    def _at_rest(self, places: Sequence[StoredPlace]) -> dict[StoredPlace, bytes]:
        in_archives = sorted(place for place in places if place.cluster == ARCHIVE)
        found: dict[StoredPlace, bytes] = {}
        for (path, content), same in groupby(in_archives, key=lambda place: (place.topic, place.topic_id)):
            archive = self._open(path)
            # An archive that has changed numbers its messages anew: a wrong stamp would be worse than none.
            if archive is not None and archive.identity.content == content:
                at = {place.offset: place for place in same}
                found |= {at[message.index]: message.value for message in _messages(archive, sorted(at))}
        return found | {place: value for place in places if (value := self._recorded(place)) is not None}

    def _recorded(self, place: StoredPlace) -> bytes | None:
        for recording in self._recordings:
            if recording.cluster == place.cluster:
                message = recording.find(place.topic, place.topic_id, place.partition, place.offset)
                if message is not None:
                    return message.value
        return None

    def _open(self, path: str) -> Archive | None:
        if path not in self._archives:
            try:
                self._archives[path] = open_archive(path)
            except ArchiveError:
                self._archives[path] = None  # moved away
        return self._archives[path]


def _messages(archive: Archive, indices: Sequence[int]) -> Iterator[ArchivedMessage]:
    """Yield messages by their places, in order, up to where the archive is cut or damaged.

    What lies near the message before is read on the way to it: a tarball, which can only be read from its
    beginning, in one pass.
    """
    near = sys.maxsize if archive.count is None else _NEAR
    stretches: list[list[int]] = []
    for index in indices:
        if stretches and index - stretches[-1][-1] <= near:
            stretches[-1].append(index)
        else:
            stretches.append([index])
    with suppress(ArchiveError):
        for stretch in stretches:
            wanted = set(stretch)
            for message in archive.messages(stretch[0]):
                if message.index in wanted:
                    yield message
                if message.index >= stretch[-1]:
                    break

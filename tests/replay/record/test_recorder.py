"""Recording a topic that lies in memory: each message in exactly one file, whatever happens."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
from faketopic import A_NIGHT_MS, TOPIC, FakeTopic, message, record, recorder

import fulgor.replay.record.file as file_module
import fulgor.replay.record.folder as folder_module
from fulgor.consumer.messages import Partition
from fulgor.consumer.source import Polled
from fulgor.errors import ArchiveError, BrokerError, DiskFullError, TopicError
from fulgor.replay.archive import open_archive
from fulgor.replay.archived import is_recording
from fulgor.replay.record.check import check_recording
from fulgor.replay.record.disk import write_whole
from fulgor.replay.record.folder import PartitionLock, RecordingFolder
from fulgor.replay.record.layout import message_files
from fulgor.replay.window import Window

HEADERS = (("a", b"1"), ("a", None), ("b", b"\x00\xff"))


def night(count: int = 60, partitions: int = 3) -> list[Polled]:
    return [message(number, offset) for offset in range(count) for number in range(partitions)]


def contents(out: Path) -> list[tuple[object, ...]]:
    """Return what is in a recording, in no order."""
    found = open_archive(out)
    rows = [(each.name, each.key, each.headers, each.timestamp_ms, each.value, each.is_tombstone) for each in found]
    assert found.problems == []
    return sorted(rows)


def as_recorded(messages: list[Polled]) -> list[tuple[object, ...]]:
    return sorted(
        (
            f"{each.partition}@{each.offset}",
            each.key,
            tuple(each.headers),
            each.timestamp_ms,
            each.value or b"",
            not each.value,
        )
        for each in messages
    )


def test_every_part_of_a_message_is_kept(tmp_path: Path):
    messages = [
        message(0, 0, b"x" * 3_000_000, key=b"k", headers=HEADERS),
        message(0, 1, None, key=b"gone"),
        message(0, 2, headers=HEADERS[:1]),
        Polled(Partition(TOPIC, 0), 3, b"no time"),
        message(0, 4, minutes=-1e9),
    ]
    report = record(FakeTopic(messages), tmp_path / "out")
    assert contents(tmp_path / "out") == as_recorded(messages)
    assert (report.messages, report.bytes) == (5, sum(len(each.value or b"") for each in messages))


def test_going_on_adds_what_is_new_and_nothing_else(tmp_path: Path):
    messages = night()
    record(FakeTopic([each for each in messages if each.offset < 40]), tmp_path / "out")
    source = FakeTopic(messages)
    assert record(source, tmp_path / "out").messages == 60
    assert record(FakeTopic(messages), tmp_path / "out").messages == 0
    assert contents(tmp_path / "out") == as_recorded(messages)
    assert source.reported == {Partition(TOPIC, number): 60 for number in range(3)}


def test_files_roll_by_size_and_by_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file_module, "GROUP_ROWS", 4)
    two_nights = [message(0, offset, os.urandom(1000), minutes=1440 * (offset % 2)) for offset in range(40)]
    record(FakeTopic(two_nights), tmp_path / "out", roll_bytes=10_000)
    nights = [file.name.split(".")[0] for file in message_files(tmp_path / "out")]
    assert {night: nights.count(night) for night in nights} == {"2023-11-14": 2, "2023-11-15": 2}
    assert contents(tmp_path / "out") == as_recorded(two_nights)


def test_nights_out_of_order_lose_nothing_when_one_file_of_two_is_there(tmp_path: Path):
    """A crash between closing two files leaves holes in what is covered, not a wrong end of it."""
    messages = [message(0, offset, minutes=1440 * (offset % 2)) for offset in range(40)]
    record(FakeTopic(messages), tmp_path / "out")
    message_files(tmp_path / "out")[0].unlink()
    assert record(FakeTopic(messages), tmp_path / "out").known > 0
    assert contents(tmp_path / "out") == as_recorded(messages)


def side_by_side(messages: list[Polled]) -> list[FakeTopic]:
    """Return two shares of a topic, recorded at the same time: a member that came later would be given all of it."""
    pair, both_there = [FakeTopic(messages, mine) for mine in ([2], [0, 1])], Barrier(2)
    for source in pair:
        joined = source.subscribe
        source.subscribe = lambda listener, joined=joined: (both_there.wait(60), joined(listener))  # type: ignore[method-assign]
    return pair


def test_the_order_of_reading_does_not_depend_on_who_recorded_what(tmp_path: Path):
    messages = [message(number, offset, minutes=offset * (number + 1)) for offset in range(30) for number in range(3)]
    record(FakeTopic(messages), tmp_path / "one")
    with ThreadPoolExecutor() as pool:
        pair = [pool.submit(record, source, tmp_path / "two") for source in side_by_side(messages)]
    assert sorted(each.result().messages for each in pair) == [30, 60]
    one, two = (list(open_archive(tmp_path / name)) for name in ("one", "two"))
    assert one == two
    assert [each.timestamp_ms for each in one] == sorted(each.timestamp_ms for each in messages)
    assert len(message_files(tmp_path / "two")) == 2


def test_a_recorder_that_was_faster_by_a_moment_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, rivals = tmp_path / "out", []

    def seen_too_early(path: Path) -> bool:
        monkeypatch.setattr(folder_module, "is_recording", is_recording)
        rivals.append(RecordingFolder(path, "cluster-1"))
        PartitionLock(path / "locks" / "rival.recorder")
        return False

    monkeypatch.setattr(folder_module, "is_recording", seen_too_early)
    found = RecordingFolder(out, "cluster-1")
    assert [rival.marker for rival in rivals] == [found.marker]


def test_recorders_with_one_process_id_write_the_same_schema_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In containers that share a folder each recorder is process 1."""
    schema, rivals = tmp_path / "0123.avsc", ["faster by a moment"]

    def written_so_far(handle: int) -> None:
        if rivals:
            rivals.pop()
            write_whole(schema, b"{}")

    monkeypatch.setattr(os, "fsync", written_so_far)
    write_whole(schema, b"{}")
    assert (list(tmp_path.iterdir()), schema.read_bytes()) == ([schema], b"{}")


def test_a_cut_file_has_to_be_moved_away_first(tmp_path: Path):
    messages = night()
    record(FakeTopic(messages), tmp_path / "out")
    (file,) = message_files(tmp_path / "out")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=r"cut or damaged, .*; move it away, and its messages are recorded again"):
        record(FakeTopic(messages), tmp_path / "out")
    file.rename(tmp_path / "cut")
    assert record(FakeTopic(messages), tmp_path / "out").messages == len(messages)
    assert contents(tmp_path / "out") == as_recorded(messages)


def test_offsets_ascend_within_a_partition_whatever_the_clocks_say(tmp_path: Path):
    messages = [message(number, offset, minutes=-offset * number) for offset in range(20) for number in range(2)]
    record(FakeTopic(messages), tmp_path / "out")
    names = [each.name for each in open_archive(tmp_path / "out")]
    for number in range(2):
        assert [name for name in names if f"[{number}]" in name] == [f"{TOPIC}[{number}]@{k}" for k in range(20)]


def test_a_window_keeps_what_lies_in_it_and_the_rest_can_follow(tmp_path: Path):
    messages = night()
    window = Window(A_NIGHT_MS + 10 * 60_000, A_NIGHT_MS + 20 * 60_000)
    report = record(FakeTopic(messages), tmp_path / "out", window=window)
    assert (report.messages, report.outside) == (30, 150)
    assert record(FakeTopic(messages), tmp_path / "out").messages == 150
    assert contents(tmp_path / "out") == as_recorded(messages)


def test_what_expired_is_counted_and_stays_a_gap(tmp_path: Path):
    before, after = [message(0, 0)], [message(0, 0), message(0, 50)]
    record(FakeTopic(before), tmp_path / "out")
    source = FakeTopic(after)
    source._messages[1] = source._messages[1]._replace(cause="expired")
    assert record(source, tmp_path / "out").lost == 49
    assert check_recording(tmp_path / "out").partitions[0].missing == [(1, 50)]


def test_holes_of_transactions_are_no_gaps(tmp_path: Path):
    record(FakeTopic([message(0, 3), message(0, 9)]), tmp_path / "out")
    (found,) = check_recording(tmp_path / "out").partitions
    assert (found.first, found.after, found.messages, found.missing) == (3, 10, 2, [])


def test_a_topic_made_anew_is_told_from_the_old(tmp_path: Path):
    record(FakeTopic(night(10)), tmp_path / "out")
    anew = FakeTopic(night(5))
    with pytest.raises(ArchiveError, match="deleted and made anew"):  # a broker that gives no ids
        record(anew, tmp_path / "out")
    anew.incarnation = "id-2"
    assert record(anew, tmp_path / "out").messages == 15
    assert [found.messages for found in check_recording(tmp_path / "out").partitions] == [10] * 3 + [5] * 3


def test_other_clusters_and_other_folders_are_refused(tmp_path: Path):
    record(FakeTopic(night(1)), tmp_path / "out")
    with pytest.raises(ArchiveError, match="offsets of different clusters"):
        RecordingFolder(tmp_path / "out", "cluster-2")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(ArchiveError, match="holds other files"):
        RecordingFolder(tmp_path / "other", "cluster-1")
    (tmp_path / "out" / "recording.json").write_text(json.dumps({"format": 99, "cluster": "c", "group": "g"}))
    with pytest.raises(ArchiveError, match="form 99"):
        open_archive(tmp_path / "out")


def test_two_recorders_of_one_folder_are_in_one_group(tmp_path: Path):
    one, two = (RecordingFolder(tmp_path / "out", "cluster-1") for _ in range(2))
    assert one.marker == two.marker
    assert RecordingFolder(tmp_path / "else", "cluster-1").marker.group != one.marker.group


def test_a_partition_waits_until_its_last_owner_lets_it_go(tmp_path: Path):
    """The owner may have lost it without knowing: stopped, swapped out, cut off from the broker."""
    folder = RecordingFolder(tmp_path / "out", "cluster-1")
    zombie: PartitionLock = folder.lock(Partition(TOPIC, 1), "id-1")
    assert zombie.take()
    successor, stop = recorder(FakeTopic(night(5)), folder), Event()
    polls = []

    def watch(*_: object) -> None:
        polls.append(sorted(partition.number for partition in successor._held))
        if len(polls) == 4:
            zombie.release()

    assert successor.run(stop, watch).messages == 15
    assert polls[:3] == [[0, 2]] * 3
    assert polls[-1] == [0, 1, 2]
    assert contents(tmp_path / "out") == as_recorded(night(5))


def test_a_partition_that_the_group_takes_back_while_it_is_begun_is_no_error(tmp_path: Path):
    """The group's word comes with the next poll; until then the client refuses to read the partition."""
    folder, source = RecordingFolder(tmp_path / "out", "cluster-1"), FakeTopic(night(5))
    assign, refused = source.assign, []

    def refusing(offsets: Mapping[Partition, int]) -> None:
        if len(refused) < 4:
            refused.extend(offsets)
            raise BrokerError("erroneous state")
        assign(offsets)

    def watch(*_: object) -> None:
        if len(refused) == 3:
            one.revoked([Partition(TOPIC, 1)])
            one.assigned([Partition(TOPIC, 1)])

    source.assign = refusing  # type: ignore[method-assign]
    one = recorder(source, folder)
    assert one.run(Event(), watch).messages == 15
    assert len(refused) == 4
    assert contents(tmp_path / "out") == as_recorded(night(5))


def test_a_topic_that_is_deleted_while_the_group_gives_it_is_no_error(tmp_path: Path):
    folder, source, asked = RecordingFolder(tmp_path / "out", "cluster-1"), FakeTopic(night(5)), []

    def gone(topic: str) -> str:
        asked.append(topic)
        raise TopicError(f"topic {topic!r} does not exist")

    def watch(*_: object) -> None:
        if len(asked) == 2 * 3:
            one.revoked([Partition(TOPIC, number) for number in range(3)])
            source.numbers = []

    source.topic_id = gone  # type: ignore[method-assign]
    one = recorder(source, folder)
    assert one.run(Event(), watch).messages == 0


def in_a_child(what: Callable[[], None]) -> int:
    """Run something in a forked process and return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            what()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("point", ["write_group", "before_footer", "before_rename", "before_index", "between_files"])
def test_kill_9_neither_loses_nor_doubles(tmp_path: Path, point: str):
    messages = [message(number, k, minutes=1440 * (k % 2) + k) for k in range(60) for number in range(2)]
    record(FakeTopic([each for each in messages if each.offset < 20]), tmp_path / "out")

    def be_killed() -> None:
        file_module.GROUP_ROWS = 16
        target = file_module.MessageFile
        if point == "write_group":
            calls = iter(range(9))
            kept = target._write_group
            target._write_group = lambda self: die() if next(calls) == 1 else kept(self)
        elif point == "between_files":
            closes = iter(range(9))
            closing = target.close
            target.close = lambda self: die() if next(closes) == 1 else closing(self)
        else:
            name = {"before_footer": "_facts", "before_rename": "_sync", "before_index": "_write_schemas"}[point]
            setattr(target, name, die)
        record(FakeTopic(messages), tmp_path / "out")

    assert os.WTERMSIG(in_a_child(be_killed)) == signal.SIGKILL
    left = check_recording(tmp_path / "out")
    assert left.unfinished
    assert len(left.without_index) == (point == "before_index")
    whole = contents(tmp_path / "out")
    assert len(whole) == len(set(whole)) == left.messages
    assert set(whole) < set(as_recorded(messages))
    report = record(FakeTopic(messages), tmp_path / "out")
    assert report.messages == 120 - left.messages
    assert contents(tmp_path / "out") == as_recorded(messages)
    found = check_recording(tmp_path / "out")
    assert (found.problems(), found.unfinished, found.indexed) == ([], [], 120)


def test_a_full_disk_leaves_whole_files_only(tmp_path: Path):
    messages = [message(0, offset, os.urandom(30_000)) for offset in range(40)]
    record(FakeTopic(messages[:10]), tmp_path / "out")
    told = tmp_path / "told"

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        file_module.GROUP_BYTES = 100_000
        try:
            record(FakeTopic(messages), tmp_path / "out")
        except DiskFullError as error:
            told.write_text(str(error))

    assert in_a_child(fill) == 0
    assert "make room, then start the same command" in told.read_text()
    assert check_recording(tmp_path / "out").unfinished == []
    assert contents(tmp_path / "out") == as_recorded(messages[:10])
    record(FakeTopic(messages), tmp_path / "out")
    assert contents(tmp_path / "out") == as_recorded(messages)

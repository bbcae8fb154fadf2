"""What the group and the database say about whose partitions are whose.

The group gives partitions and takes them away; the database says, by a raised epoch, that another
member or an operator has claimed one. Either way a partition goes through the same steps: wanted,
claimed, read, and let go; see :mod:`fulgor.consumer.claims` for the first two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import monotonic

from fulgor.consumer.assignments import Assignments
from fulgor.consumer.claims import Claims
from fulgor.consumer.committer import Committer, Fenced
from fulgor.consumer.messages import Assignment, Partition
from fulgor.consumer.source import Source
from fulgor.consumer.threads import Background, Forget
from fulgor.errors import BrokerError

__all__ = ["Membership"]

log = logging.getLogger(__name__)
# Whoever took a partition that the group says is ours is a member that has not heard of it yet, or we are: claiming it
# back at once would only have it taken again. A member that is late hears from the group within its heartbeats.
_TAKEN_S = 10.0
_LOOK_S = 1.0
_RETRY_S = 1.0


class Membership:
    """Listens to the group; every call is made on the polling thread.

    Parameters
    ----------
    source : Source
        Where partitions are read from.
    held : Assignments
        Those that are read.
    claims : Claims
        Those that shall be.
    background : Background
        Finishes what was read of a partition before it goes.
    committer : Committer
        Says who holds a feed, and releases it.
    drain_s : float
        Bound of that.
    settle : callable
        Takes note of what the writer has finished.
    """

    def __init__(
        self, source: Source, held: Assignments, claims: Claims, background: Background, committer: Committer, *,
        drain_s: float, settle: Callable[[], None],
    ) -> None:  # fmt: skip
        self._source = source
        self._held = held
        self._claims = claims
        self._background = background
        self._committer = committer
        self._drain_s = drain_s
        self._settle = settle
        self._look: Future[list[Fenced]] | None = None
        self._next_look = 0.0
        self._unread: set[Partition] = set()
        self.answered = False
        """The group has told us what is ours, be it nothing."""

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Note what is ours now; it is claimed in the rounds to come."""
        self.answered = True
        self._claims.want(partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish what was read of these partitions, within a bound, and let them go."""
        give_up = monotonic() + self._drain_s
        held = self._held.of(partitions)
        if held and not self._background.drain(self._drain_s):
            log.warning("not everything could be finished in %.0f s; the next owner reads it again", self._drain_s)
            self._drop(held)
        self._settle()
        finished = [assignment for assignment in held if not assignment.lost]
        if finished and self._background.failure is None:
            self._release(finished, _left(give_up))
        self._let_go(partitions)
        self._claims.forget(partitions, _left(give_up))

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Drop what was read of these partitions: somebody else has them already."""
        log.warning("lost: %s", ", ".join(map(str, partitions)))
        self._drop(self._held.of(partitions))
        self._let_go(partitions)
        self._claims.forget(partitions)

    def fenced(self, fenced: Sequence[Fenced]) -> None:
        """Stop reading what we may not write, and claim it again for as long as the group says it is ours."""
        for assignment, taken in fenced:
            if assignment.lost:
                continue
            log.warning(
                "%s: %s", assignment.partition,
                "another member has claimed it" if taken else "an operator has moved its offset",
            )  # fmt: skip
            self._drop([assignment])
            if self._held.get(assignment.partition) is assignment:
                # Not let go here: the group may be asking for others at this moment, and is answered once.
                self._unread.add(assignment.partition)
                self._held.remove([assignment.partition])
                self._claims.want([assignment.partition], _TAKEN_S if taken else 0.0)

    def follow(self) -> list[Partition]:
        """Go on with claims, and look now and then who holds our feeds; return what is read from now on."""
        self._notice_moves()
        if self._unread:
            self._let_go([*self._unread])
        started = self._claims.step()
        partitions = [assignment.partition for assignment in started]
        try:
            if started:
                self._source.assign({assignment.partition: assignment.expected for assignment in started})
        except BrokerError as error:
            log.warning("trying again: %s", error)  # unless the group takes them back at the next poll
            self._claims.want(partitions, _RETRY_S)
            return []
        self._held.add(started)
        if started:
            log.info("reading: %s", ", ".join(f"{one.partition} from {one.expected}" for one in started))
        return partitions

    def leave(self) -> None:
        """Finish everything and release the feeds, before the group is left."""
        if partitions := [*self._held.partitions(), *self._claims.partitions()]:
            self.revoked(partitions)

    def _notice_moves(self) -> None:
        """Look whether somebody moved or claimed what is held: a member that writes nothing is never refused."""
        if self._look is not None:
            if not self._look.done():
                return
            fenced, self._look = self._look.result(), None
            self.fenced(fenced)
        held = self._held.all()
        if held and monotonic() >= self._next_look:
            self._look = self._background.offer(lambda: self._committer.moved(held))
            self._next_look = monotonic() + _LOOK_S

    def _release(self, finished: Sequence[Assignment], wait_s: float) -> None:
        try:
            self._background.ask(lambda: self._committer.release(finished), wait_s)
        except TimeoutError:
            # All of it is committed; only the note of a departure in good order comes later, or not at all.
            log.warning("the database did not answer in %.0f s to a release", wait_s)

    def _drop(self, assignments: Sequence[Assignment]) -> None:
        for assignment in assignments:
            assignment.lost = True
            self._background.put(Forget(assignment))

    def _let_go(self, partitions: Sequence[Partition]) -> None:
        self._source.unassign(partitions)
        self._held.remove(partitions)
        self._unread.difference_update(partitions)


def _left(give_up: float) -> float:
    # A little is always left: what was finished at the last moment is still released.
    return max(give_up - monotonic(), 1.0)

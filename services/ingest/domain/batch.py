"""The items of one request together: repeats among them, and the answer each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum

import msgspec

from services.ingest.domain.acceptance import Accepted, Refused, Why
from services.ingest.domain.fields import Fault

UNKNOWN_STATE = "Not known to be stored; send it again with the same event_id."


class Status(StrEnum):
    """What an answer says of one item. Only `accepted` and `duplicate` mean that it is stored."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    INVALID = "invalid"
    RETRY = "retry"


class Stored(Enum):
    """What became of one record: in the log, in the spool while the log is away, or neither as far as is known."""

    LOG = "log"
    SPOOL = "spool"
    TOO_LARGE = "too large"
    UNKNOWN = "unknown"


class Repeat(msgspec.Struct, frozen=True, gc=False):
    """The same item again, in the same request; its fate is that of the item at index `first`."""

    event_id: str
    first: int


class Result(msgspec.Struct, frozen=True, gc=False):
    """The answer for one item; `why` is given for invalid ones. `spooled`: stored, but not in the log yet."""

    event_id: str | None
    status: Status
    faults: tuple[Fault, ...] = ()
    why: Why | None = None
    spooled: bool = False

    @property
    def detail(self) -> str | None:
        """One sentence for a person, or None when all is well."""
        if self.status is Status.ACCEPTED:
            return None
        if self.status is Status.RETRY:
            return UNKNOWN_STATE
        return "; ".join(f"{fault.pointer or 'the item'} {fault.detail}" for fault in self.faults) or None


Verdict = Accepted | Refused | Repeat


def without_repeats(verdicts: Sequence[Accepted | Refused]) -> list[Verdict]:
    """The verdicts with every later use of an event_id replaced: same body = Repeat, other body = Refused."""
    first_uses: dict[str, int] = {}
    judged: list[Verdict] = []
    for index, verdict in enumerate(verdicts):
        if isinstance(verdict, Refused):
            judged.append(verdict)
            continue
        first = first_uses.setdefault(verdict.event_id, index)
        original = verdicts[first]
        if first == index:
            judged.append(verdict)
        elif isinstance(original, Accepted) and original.body_hash == verdict.body_hash:
            judged.append(Repeat(verdict.event_id, first))
        else:
            fault = Fault("/event_id", "is used for another body in the same request")
            judged.append(Refused(verdict.event_id, Why.UNFIT, (fault,)))
    return judged


def results(verdicts: Sequence[Verdict], stored: Mapping[int, Stored]) -> list[Result]:
    """One result per verdict, in order; `stored` has what became of the accepted ones, by index."""
    answers: list[Result] = []
    for index, verdict in enumerate(verdicts):
        if isinstance(verdict, Repeat):
            first = answers[verdict.first]
            status = Status.DUPLICATE if first.status is Status.ACCEPTED else first.status
            answers.append(Result(verdict.event_id, status, first.faults, first.why, first.spooled))
        elif isinstance(verdict, Refused):
            answers.append(Result(verdict.event_id, Status.INVALID, verdict.faults, verdict.why))
        elif stored[index] is Stored.LOG:
            answers.append(Result(verdict.event_id, Status.ACCEPTED))
        elif stored[index] is Stored.SPOOL:
            answers.append(Result(verdict.event_id, Status.ACCEPTED, spooled=True))
        elif stored[index] is Stored.UNKNOWN:
            answers.append(Result(verdict.event_id, Status.RETRY))
        else:
            fault = Fault("", "is larger than the log takes")
            answers.append(Result(verdict.event_id, Status.INVALID, (fault,), Why.TOO_LARGE))
    return answers


def overall(answers: Sequence[Result]) -> Status:
    """What the request as a whole gets: accepted if anything is stored, else retry if anything may be, else invalid."""
    statuses = {answer.status for answer in answers}
    if statuses & {Status.ACCEPTED, Status.DUPLICATE}:
        return Status.ACCEPTED
    return Status.RETRY if Status.RETRY in statuses else Status.INVALID

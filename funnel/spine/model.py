"""What a service gives to the spine and gets from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from funnel.envelope import Outgoing
from funnel.kafka.consumer import Record
from funnel.postgres import Transaction

T = TypeVar("T")
Keys = TypeVar("Keys")
State = TypeVar("State")
D = TypeVar("D", bound="Decision")

# Decodes a record's value under the schema named in its headers (None: a foreign producer's record).
# Raises Poison for bytes that can never be applied, UnknownVersion for a newer schema of our own.
Decoder = Callable[[bytes, str | None], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Message(Generic[T]):
    """A decoded record. (`source`, `event_id`) is its identity; `hash` tells a repeat from a reused id."""

    source: str
    event_id: str
    type: str
    topic: str
    value: T
    hash: bytes
    record: Record
    traceparent: str | None = None

    @property
    def raw(self) -> bytes:
        """The value's bytes as they lie in the log."""
        return self.record.value or b""

    @property
    def position(self) -> tuple[int, int]:
        """(partition, offset)."""
        return self.record.partition, self.record.offset


@dataclass(frozen=True, slots=True, eq=False)
class Rejected(Generic[T]):
    """A message that can never be applied, and why; it goes to quarantine with its raw bytes."""

    message: Message[T]
    reason: str


class Decision(Protocol):
    """What a service decided for a batch. Services add what their `save` needs."""

    @property
    def outgoing(self) -> Sequence[Outgoing]:
        """Records to publish, in order, if and only if the transaction commits."""

    @property
    def rejected(self) -> Sequence[Rejected[Any]]:
        """Messages to quarantine."""


class Handler(Protocol[Keys, State, D]):
    """A service's part of the spine's transaction; called in the order of these methods, then committed.

    A batch holds each event once (repeats were removed). All statements are set-based: their number does not depend
    on the size of the batch. An exception that is no `FunnelError` is a bug and stops the partition.
    """

    @property
    def name(self) -> str:
        """The service's name, which is also its Postgres schema."""

    @property
    def decoders(self) -> Mapping[str, Decoder]:
        """The topics this service reads, by logical name."""

    async def lock(self, tx: Transaction, messages: Sequence[Message[Any]]) -> Keys:
        """Lock everything the batch touches, each list sorted, in the service's documented order."""

    async def load(self, tx: Transaction, keys: Keys) -> State:
        """Read the state in new statements: a statement sees the snapshot from before its own lock wait."""

    def decide(self, state: State, messages: Sequence[Message[Any]], now: datetime) -> D:
        """Pure: what follows from the state and the messages at `now`."""

    async def save(self, tx: Transaction, decision: D) -> None:
        """Write the decision. Position, inbox, outbox and quarantine are the spine's business."""


AnyHandler = Handler[Any, Any, Any]

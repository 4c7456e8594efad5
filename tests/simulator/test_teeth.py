"""Each safeguard is taken away in turn, and the simulator has to notice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from funnel.postgres import Transaction
from funnel.spine import transaction as transaction_module
from funnel.spine.chunks import Cursor
from funnel.spine.relay import Relay
from services.scoring.domain.decide import Outcome
from services.scoring.handlers import Decision, Known, ScoringHandler
from tests.simulator.database import FakeTransaction, Rows, Session
from tests.simulator.run import first_violation
from tests.simulator.statements import STATEMENTS, routing, spine
from tests.support import toy

SEEDS_MAX = 400

Patch = pytest.MonkeyPatch


def no_epoch(patch: Patch) -> None:
    """The position is compared, the epoch of its owner is not."""

    def is_at(s: Session, key: object, _: int, expected: int) -> bool:
        row = s.get("position", key)
        return row is not None and row["next"] == expected

    patch.setattr(spine, "_is_at", is_at)


def no_position(patch: Patch) -> None:
    """The epoch is compared, the position is not, and nobody asks where it is after a COMMIT of unknown fate."""

    def is_at(s: Session, key: object, epoch: int, _: int) -> bool:
        row = s.get("position", key)
        return row is not None and row["epoch"] == epoch

    patch.setattr(spine, "_is_at", is_at)
    patch.setattr("funnel.spine.loop.ConsumerLoop._relocate", lambda _: None)


def no_inbox(patch: Patch) -> None:
    """What the inbox knows is applied all the same."""
    claim = transaction_module._claim

    async def all_are_new(tx: Transaction, chunks: Sequence[Any]) -> Any:
        items = await claim(tx, chunks)
        return transaction_module._Sorted([*items.fresh, *items.duplicates], [], items.poisoned)

    patch.setattr(transaction_module, "_claim", all_are_new)


def no_read_back(patch: Patch) -> None:
    """After a doubt the relay just sends again."""

    async def believe(*_: object) -> None:
        return

    patch.setattr(Relay, "_read_back", believe)


def no_order(patch: Patch) -> None:
    """The outbox is sent in whatever order."""
    in_order: Any = STATEMENTS[spine.QUERIES["next_outbox"]]
    patch.setitem(STATEMENTS, spine.QUERIES["next_outbox"], lambda *args: list(reversed(in_order(*args))))


def no_second_look(patch: Patch) -> None:
    """A gap is believed at first sight."""
    patch.setattr(Cursor, "missing_to", lambda _, __: 1 << 62)


def no_row_locks(patch: Patch) -> None:
    """The state is read without its rows being locked."""
    patch.setitem(STATEMENTS, toy.LOCK, lambda *_: [])


def no_pool_locks(patch: Patch) -> None:
    """Two replicas decide about one pool at once."""

    def unlocked(s: Session, names: Sequence[str]) -> Rows:
        return [dict(row) for name in names if (row := s.get("pool", name))]

    def unlocked_reps(s: Session, pools: Sequence[str], others: Sequence[str]) -> Rows:
        members = {row["rep"] for row in s.rows("pool_member") if row["pool"] in pools}
        return [dict(row) for name in sorted(members | set(others)) if (row := s.get("rep", name))]

    patch.setitem(STATEMENTS, routing.QUERIES["lock_pools"], unlocked)
    patch.setitem(STATEMENTS, routing.QUERIES["lock_reps"], unlocked_reps)


def no_atomic_outbox(patch: Patch) -> None:
    """What is to be published is committed by itself, before the rest."""
    copy = FakeTransaction.copy

    async def at_once(
        self: FakeTransaction, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        if table != "outbox":
            await copy(self, table, columns, rows)
            return
        session = self._session.server.open(self._session.process, self._session.schema, durable=True)
        await copy(FakeTransaction(session), table, columns, rows)
        await session.commit()

    patch.setattr(FakeTransaction, "copy", at_once)


def no_claims(patch: Patch) -> None:
    """A new lead does not keep the identifiers it was known by."""
    decide = ScoringHandler.decide

    def forgetful(self: ScoringHandler, state: Known, messages: Sequence[Any], now: Any) -> Decision:
        made = decide(self, state, messages, now)
        outcome = made.outcome
        kept = Outcome(outcome.changes, {}, outcome.touches, outcome.conflicts, outcome.outgoing)
        return Decision(kept, made.decided_at, made.rejected)

    patch.setattr(ScoringHandler, "decide", forgetful)


@pytest.mark.parametrize(
    ("play", "take_away"),
    [
        ("toy", no_epoch),
        ("toy", no_position),
        ("toy", no_inbox),
        ("toy", no_read_back),
        ("toy", no_order),
        ("toy", no_second_look),
        ("toy", no_row_locks),
        ("toy", no_atomic_outbox),
        ("scoring", no_claims),
        ("routing", no_pool_locks),
    ],
)
def test_a_missing_safeguard_is_noticed(play: str, take_away: Callable[[Patch], None], monkeypatch: Patch) -> None:
    take_away(monkeypatch)
    found = first_violation(play, range(SEEDS_MAX))
    assert found is not None
    print(found.report()[:400])  # noqa: T201 - what it looks like

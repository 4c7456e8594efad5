"""The statements of the toy service."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulator.database import Rows, Session, Statement, Waiting
from tests.simulator.statements.rows import change, insert_missing, lock
from tests.support import toy


def insert(s: Session, people: Sequence[str]) -> Waiting:
    yield from insert_missing(s, "person", [(one, {"id": one, "total": 0, "version": 0, "note": ""}) for one in people])
    return []


def lock_people(s: Session, people: Sequence[str]) -> Waiting:
    yield from lock(s, "person", sorted(one for one in people if s.get("person", one) is not None))
    return []


def load(s: Session, people: Sequence[str]) -> Rows:
    return [dict(row) for one in people if (row := s.get("person", one))]


def save(
    s: Session, people: Sequence[str], totals: Sequence[int], versions: Sequence[int], notes: Sequence[str]
) -> Waiting:
    for one, total, version, note in zip(people, totals, versions, notes, strict=True):
        yield "person", one
        change(s, "person", one, total=total, version=version, note=note)
    return []


STATEMENTS: dict[str, Statement] = {toy.INSERT: insert, toy.LOCK: lock_people, toy.LOAD: load, toy.SAVE: save}

"""What several statements do alike."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from funnel.postgres import Row
from tests.simulator.database import Key, Session


def insert_missing(
    s: Session, table: str, wanted: Iterable[tuple[Key, Row]]
) -> Generator[tuple[str, Key], None, list[Key]]:
    """INSERT .. ON CONFLICT DO NOTHING: waits for whoever inserts the same key; the keys that are new."""
    inserted: list[Key] = []
    for key, row in wanted:
        if s.get(table, key) is not None:
            continue
        held = s.holds(table, key)
        yield table, key
        if s.get(table, key) is None:
            s.put(table, key, row)
            inserted.append(key)
        elif not held:
            s.unlock(table, key)
    return inserted


def lock(s: Session, table: str, keys: Sequence[Key]) -> Generator[tuple[str, Key], None, list[Row]]:
    """SELECT .. FOR UPDATE of rows found before, in this order; as they are after the wait, those that are left."""
    found: list[Row] = []
    for key in keys:
        yield table, key
        row = s.get(table, key)
        if row is not None:
            found.append(row)
    return found


def change(s: Session, table: str, key: Key, **columns: Any) -> None:
    """Write a few columns of a locked row."""
    row = s.get(table, key)
    if row is None:
        raise LookupError(f"{table} {key}")
    s.put(table, key, {**row, **columns})


def pick(row: Row, *columns: str) -> dict[str, Any]:
    """SELECT of some columns."""
    return {column: row[column] for column in columns}

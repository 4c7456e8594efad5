"""Finding the items in a request without letting one of them spoil the others."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from services.ingest.domain import limits
from services.ingest.domain.decoding import NotJson, TooManyItems, lines, read_batch
from services.ingest.domain.fields import Unfit


def items_of(raw: bytes) -> list[bytes | Unfit] | None:
    batch = read_batch(raw, "events")
    return None if batch is None else batch.items


def test_items_come_as_they_were_sent() -> None:
    assert items_of(b' {"events": [ {"a" : 1}, [], "x" , 1e400 ], "more": 1}') == [
        b'{"a" : 1}',
        b"[]",
        b'"x"',
        b"1e400",
    ]


def test_half_a_surrogate_pair_condemns_its_own_item_only() -> None:
    raw = b'{"events": [{"a": 1.50}, {"b": ["\\ud800"]}, {"c": "\xc3\xa9"}]}'
    items = items_of(raw)
    assert items is not None
    first, bad, last = items
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    assert [json.loads(first), json.loads(last)] == [{"a": 1.5}, {"c": "é"}]
    assert isinstance(bad, Unfit)
    assert [fault.pointer for fault in bad.faults] == ["/b/0"]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b'"2026-11-22T18:00:00+09:00"', datetime(2026, 11, 22, 9, tzinfo=UTC)),
        (b"null", None),
        (b'""', None),
    ],
)
@pytest.mark.parametrize("item", [b"{}", b'"\\ud800"'])
def test_a_batch_may_say_when_it_was_sent(said: bytes, heard: datetime | None, item: bytes) -> None:
    batch = read_batch(b'{"sent_at": %b, "events": [%b], "more": [1]}' % (said, item), "events")
    assert batch is not None
    assert batch.sent_at == heard
    assert len(batch.items) == 1


@pytest.mark.parametrize("said", [b"7", b'"now"', b'{"a": 1}', b'"2026-11-22T09:00:00"'])
def test_what_it_says_of_that_must_be_a_time(said: bytes) -> None:
    with pytest.raises(Unfit) as refused:
        read_batch(b'{"events": [], "sent_at": %b}' % said, "events")
    assert [fault.pointer for fault in refused.value.faults] == ["/sent_at"]


@pytest.mark.parametrize("raw", [b"{}", b'{"event": []}', b'{"a": "\\ud800"}'])
def test_no_such_field_is_no_batch(raw: bytes) -> None:
    assert items_of(raw) is None


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [(b"[]", ""), (b"7", ""), (b'"\\ud800"', ""), (b'{"events": {}}', "/events"), (b'{"events": null}', "/events")],
)
def test_a_batch_of_another_form_is_unfit(raw: bytes, pointer: str) -> None:
    with pytest.raises(Unfit) as refused:
        items_of(raw)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize("raw", [b"", b'{"events": [', b'{"events": [1,]}', b'{"events": [nul]}', b"\xff{}"])
def test_a_batch_that_is_not_json_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(NotJson):
        items_of(raw)


def test_absurd_nesting_is_refused_whole() -> None:
    with pytest.raises(Unfit, match="nested deeper"):
        items_of(b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_lines_may_be_blank_and_end_as_on_any_system() -> None:
    assert lines(b'{"a":1}\r\n\n  \n{"b":2}') == [b'{"a":1}\r', b'{"b":2}']


def test_the_number_of_items_is_bounded() -> None:
    most = limits.BATCH_ITEMS_MAX
    assert items_of(b'{"events": [%s]}' % b",".join([b"1"] * most)) == [b"1"] * most
    with pytest.raises(TooManyItems):
        items_of(b'{"events": [%s]}' % b",".join([b"1"] * (most + 1)))
    with pytest.raises(TooManyItems):
        lines(b"1\n" * (most + 1))

"""Finding the items in a request without letting one of them spoil the others."""

from __future__ import annotations

import json

import pytest

from services.ingest.domain import limits
from services.ingest.domain.decoding import NotJson, TooManyItems, batch_items, lines
from services.ingest.domain.fields import Unfit


def test_items_come_as_they_were_sent() -> None:
    assert batch_items(b' {"events": [ {"a" : 1}, [], "x" , 1e400 ], "more": 1}', "events") == [
        b'{"a" : 1}',
        b"[]",
        b'"x"',
        b"1e400",
    ]


def test_half_a_surrogate_pair_condemns_its_own_item_only() -> None:
    raw = b'{"events": [{"a": 1.50}, {"b": ["\\ud800"]}, {"c": "\xc3\xa9"}]}'
    items = batch_items(raw, "events")
    assert items is not None
    first, bad, last = items
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    assert [json.loads(first), json.loads(last)] == [{"a": 1.5}, {"c": "é"}]
    assert isinstance(bad, Unfit)
    assert [fault.pointer for fault in bad.faults] == ["/b/0"]


@pytest.mark.parametrize("raw", [b"{}", b'{"event": []}', b'{"a": "\\ud800"}'])
def test_no_such_field_is_no_batch(raw: bytes) -> None:
    assert batch_items(raw, "events") is None


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [(b"[]", ""), (b"7", ""), (b'"\\ud800"', ""), (b'{"events": {}}', "/events"), (b'{"events": null}', "/events")],
)
def test_a_batch_of_another_form_is_unfit(raw: bytes, pointer: str) -> None:
    with pytest.raises(Unfit) as refused:
        batch_items(raw, "events")
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize("raw", [b"", b'{"events": [', b'{"events": [1,]}', b'{"events": [nul]}', b'{"\xff": 1}'])
def test_a_batch_that_is_not_json_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(NotJson):
        batch_items(raw, "events")


def test_absurd_nesting_is_refused_whole() -> None:
    with pytest.raises(Unfit, match="nested deeper"):
        batch_items(b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "events")


def test_lines_may_be_blank_and_end_as_on_any_system() -> None:
    assert lines(b'{"a":1}\r\n\n  \n{"b":2}') == [b'{"a":1}\r', b'{"b":2}']


def test_the_number_of_items_is_bounded() -> None:
    most = limits.BATCH_ITEMS_MAX
    assert batch_items(b'{"events": [%s]}' % b",".join([b"1"] * most), "events") == [b"1"] * most
    with pytest.raises(TooManyItems):
        batch_items(b'{"events": [%s]}' % b",".join([b"1"] * (most + 1)), "events")
    with pytest.raises(TooManyItems):
        lines(b"1\n" * (most + 1))

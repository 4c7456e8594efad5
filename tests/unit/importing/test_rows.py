"""Rows: the body that is posted for each, or the reason why none is."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from funnel.importing.mapping import read
from funnel.importing.rows import Converter, Entry, Item, Rejection, Repeat, entries
from funnel.importing.sheet import Sheet, SheetError

MAPPING = """\
name: fair
kind: events
dates: ["%Y.%m.%d"]
id: [Fair, Badge]
empty: [Select]
constants: {type: form.submitted, properties.campaign: fair}
columns:
  Day: occurred_at
  Mail: identity.email
  Badge: identity.external_ids.fair
  Stock: {to: properties.stock, map: {"20.máj": "5-20", "#N/A": ~}}
  Staff: person.employees
"""
HEADER = "Fair,Badge,Day,Mail,Stock,Staff,Unused\n"

DEALS = """\
name: deals
kind: outcomes
id: Lead
constants: {type: won, amount.currency: BRL}
columns: {Lead: identity.external_ids.crm, Value: amount.value, Sold: {to: meeting_at, dates: ["%d/%m/%Y"]}}
"""


def entries_of(rows: str, *, mapping: str = MAPPING, header: str = HEADER) -> list[Entry]:
    sheet = Sheet(io.StringIO(header + rows, newline=""), ",")
    converter = Converter(read(mapping, name="m.yaml", timezone="Asia/Tokyo"), sheet.header)
    return list(entries(sheet, converter))


def body_of(rows: str, **options: str) -> Any:
    (entry,) = entries_of(rows, **options)
    assert isinstance(entry, Item)
    assert msgspec.json.decode(entry.encoded) == entry.body
    return entry.body


def reason_of(rows: str, **options: str) -> str:
    (entry,) = entries_of(rows, **options)
    assert isinstance(entry, Rejection)
    return str(entry)


def test_a_row_becomes_an_event_with_its_own_id() -> None:
    assert body_of('F1,7,2018.02.01, a@example.com ,20-50,"12",x\n') == {
        "event_id": "F1:7",
        "type": "form.submitted",
        "occurred_at": "2018-01-31T15:00:00Z",
        "identity": {"email": "a@example.com", "external_ids": {"fair": "7"}},
        "properties": {"campaign": "fair", "stock": "20-50"},
        "person": {"employees": 12},
    }


def test_empty_markers_and_mapped_away_cells_leave_the_field_out() -> None:
    body = body_of("F1,7,2018.02.01,Select,#N/A,,x\n")
    assert body["identity"] == {"external_ids": {"fair": "7"}}
    assert body["properties"] == {"campaign": "fair"}
    assert "person" not in body


def test_a_value_map_repairs_what_a_spreadsheet_damaged() -> None:
    assert body_of("F1,7,2018.02.01,,20.máj,,\n")["properties"]["stock"] == "5-20"


def test_an_amount_has_its_currency_and_without_a_value_there_is_none() -> None:
    header = "Lead,Value,Sold\n"
    assert body_of("L1,0.0,31/12/2017\n", mapping=DEALS, header=header) == {
        "event_id": "L1",
        "type": "won",
        "identity": {"external_ids": {"crm": "L1"}},
        "amount": {"currency": "BRL", "value": "0"},
        "meeting_at": "2017-12-30T15:00:00Z",
    }
    assert "amount" not in body_of("L1,,\n", mapping=DEALS, header=header)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("F1,,2018.02.01,a@example.com,,,", "line 2, Badge: is empty, but the row needs an id of its own"),
        ("F1,1.2E+11,2018.02.01,,,,", "line 2, Badge: '1.2E+11' is a number a spreadsheet has shortened"),
        ("F1,#REF!,2018.02.01,,,,", "line 2, Badge: '#REF!' is a spreadsheet's error"),
        ("F1,7,,a@example.com,,,", "line 2, Day: is empty, but the row needs its date"),
        ("F1,7,20.máj,a@example.com,,,", "line 2, Day: '20.máj' is not a date written as 2018.05.31"),
        ("F1,7,2018.02.01,a@example.com,,20.máj,", "line 2, Staff: '20.máj' is no number; a spreadsheet may"),
        ("F1,7,2018.02.01,caf\udce9,,,", "line 2, Mail: holds bytes that are no characters"),
        (f"F1,{'7' * 126},2018.02.01,,,,", "line 2, Badge: makes an id of 129 characters"),
        ("F1,7,2018.02.01", "line 2: has 3 cells where the header has 7"),
    ],
)
def test_a_bad_row_is_reported_by_line_and_column(row: str, reason: str) -> None:
    assert reason_of(row + "\n").startswith(reason)


def test_a_row_with_too_much_text_for_one_event_is_refused_here() -> None:
    long = ",".join(["あ" * 19_000] * 4)
    mapping = MAPPING + "".join(f"  T{i}: properties.t{i}\n" for i in range(4))
    header = HEADER.strip() + ",T0,T1,T2,T3\n"
    reason = reason_of(f"F1,7,2018.02.01,,,,,{long}\n", mapping=mapping, header=header)
    assert reason.startswith("line 2: makes an event of 228")


def test_a_row_known_by_nobody_is_refused() -> None:
    mapping = (
        "name: m\nkind: events\nid: Nr\nconstants: {type: a}\ncolumns: {Mail: identity.email, Tel: identity.phone}\n"
    )
    assert reason_of("1,,\n", mapping=mapping, header="Nr,Mail,Tel\n") == (
        "line 2: has no identifier: Mail and Tel are empty"
    )


def test_the_same_row_again_is_a_repeat_and_the_same_id_with_another_content_an_error() -> None:
    first, again, other = entries_of(
        "F1,7,2018.02.01,a@example.com,,,\nF1,7,2018.02.01,a@example.com,,,unused\nF1,7,2018.02.02,,,,\n"
    )
    assert isinstance(first, Item)
    assert isinstance(again, Repeat)
    assert str(other) == "line 4, Fair: has the id of line 2 but another content"


def test_lines_are_right_behind_cells_of_several_lines() -> None:
    rows = 'F1,1,2018.02.01,,"a\nb",,\nF1,2,2018.02.31,,,,\n'
    good, bad = entries_of(rows)
    assert good.row.line == 2
    assert str(bad).startswith("line 4, Day: '2018.02.31'")


def test_a_missing_or_doubled_column_is_named_with_what_the_file_has() -> None:
    with pytest.raises(SheetError, match=r"no column 'Mail', 'Staff'; it has: Fair, Badge, Day, Stock\. Are"):
        entries_of("", header="Fair,Badge,Day,Stock\n")
    with pytest.raises(SheetError, match="has the column 'Day' more than once"):
        entries_of("", header=HEADER.strip() + ",Day\n")


def test_what_ingest_refuses_is_reported_with_the_column_that_fills_the_field() -> None:
    sheet = Sheet(io.StringIO(HEADER + "F1,7,2018.02.01,x,,,\n", newline=""), ",")
    converter = Converter(read(MAPPING, name="m.yaml", timezone="Asia/Tokyo"), sheet.header)
    (item,) = entries(sheet, converter)
    assert isinstance(item, Item)
    assert str(converter.refused(item, "/identity/email: not an address")) == (
        "line 2, Mail: /identity/email: not an address"
    )
    assert str(converter.refused(item, "identity.email is not an address")).startswith("line 2, Mail: ")
    assert str(converter.refused(item, "the event is not welcome")) == "line 2: the event is not welcome"

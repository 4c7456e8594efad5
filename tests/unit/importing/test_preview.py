"""A dry run: rows, dates, leads new and known, and what it says when scoring cannot be asked."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest

from funnel.importing.mapping import read
from funnel.importing.preview import SHOWN_REJECTIONS, LeadKey, count_known, lead_keys, preview
from funnel.importing.rows import Converter, entries
from funnel.importing.sheet import Sheet

MAPPING = """\
name: fair
kind: events
id: Nr
constants: {type: form.submitted}
columns: {Tag: occurred_at, Mail: identity.email, Cookie: identity.visitor_id}
"""


def test_a_preview_counts_rows_dates_and_people() -> None:
    rows = (
        "1,2018-02-03,a@example.com,\n2,2018-02-01,A@example.com,v1\n2,2018-02-01,A@example.com,v1\n"
        "3,2018-02-02,,v2\n4,x,b@example.com,\n"
    )
    sheet = Sheet(io.StringIO("Nr,Tag,Mail,Cookie\n" + rows, newline=""), ",")
    found = preview(entries(sheet, Converter(read(MAPPING, name="m", timezone="Asia/Tokyo"), sheet.header)))
    assert (found.rows, found.items, found.repeats, found.rejected) == (5, 3, 1, 1)
    assert (found.first, found.last) == ("2018-01-31T15:00:00Z", "2018-02-02T15:00:00Z")
    assert list(found.leads) == [("email", "a@example.com")]
    assert found.without_lead == 1


def test_only_some_of_many_rejections_are_kept_to_be_shown() -> None:
    sheet = Sheet(io.StringIO("Nr,Tag,Mail,Cookie\n" + "1,x,,\n" * 50, newline=""), ",")
    found = preview(entries(sheet, Converter(read(MAPPING, name="m", timezone="Asia/Tokyo"), sheet.header)))
    assert found.rejected == 50
    assert len(found.shown) == SHOWN_REJECTIONS


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ({"identity": {"visitor_id": "v"}}, ()),
        ({"lead_id": "7"}, (("lead_id", "7"),)),
        (
            {"identity": {"email": "A@b.c", "phone": "1", "external_ids": {"crm": "2"}}},
            (("email", "a@b.c"), ("phone", "1"), ("external_id", "crm:2")),
        ),
    ],
)
def test_a_person_is_asked_for_by_the_strongest_identifier_first(
    body: dict[str, Any], keys: tuple[LeadKey, ...]
) -> None:
    assert lead_keys(body) == keys


def scoring(*known: str) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content).values()
        return httpx.Response(200 if set(asked) & set(known) else 404, json={})

    return httpx.Client(base_url="http://scoring", transport=httpx.MockTransport(answer))


def test_a_lead_is_known_by_any_of_its_identifiers() -> None:
    leads = [
        (("email", "a@example.com"), ("external_id", "crm:1")),
        (("email", "b@example.com"), ("external_id", "crm:2")),
        (("email", "c@example.com"),),
    ]
    asked: list[int] = []
    assert count_known(scoring("crm:1", "c@example.com"), leads, lambda: asked.append(1)) == 2
    assert len(asked) == 3


def test_without_scoring_there_is_no_count() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    for transport in (httpx.MockTransport(away), httpx.MockTransport(lambda _: httpx.Response(503))):
        client = httpx.Client(base_url="http://scoring", transport=transport)
        assert count_known(client, [(("email", "a"),)] * 30, lambda: None) is None

"""What ingest answers 202 to, the readers of the topic can read: nobody is told a thing is stored that is poison."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funnel import schemas
from funnel.contracts.registry import DEPTH_MAX, decoder
from services.ingest.domain import limits
from services.ingest.domain.acceptance import Acceptance, Accepted
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from services.ingest.domain.receipt import Receipt

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy

# Any character, also those that cannot be stored: they are what the two sides have to agree on.
TEXT = st.text(st.characters(), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def fields_of(dataschema: str, part: str | None = None) -> dict[str, Any]:
    document = schemas.documents()[dataschema]
    found: dict[str, Any] = (document["$defs"][part] if part else document)["properties"]
    return found


def sent(dataschema: str, **likely: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A body with any of the schema's fields, each as it is likely to come or as any JSON at all."""
    fields = {name: likely.get(name, JSON) | JSON for name in fields_of(dataschema)}
    return st.fixed_dictionaries({}, optional={**fields, "another": JSON})


def part(dataschema: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(fields_of(dataschema, name))), TEXT | JSON, max_size=4)


TIMES = st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
TOUCHES = part("lead_event.v2", "RememberedTouch") | st.fixed_dictionaries({"at": TIMES, "click_ids": JSON})
EVENTS = sent(
    "lead_event.v2",
    event_id=TEXT,
    type=st.just("form.submitted"),
    occurred_at=TIMES,
    occurred_at_sent=TIMES,
    sent_at=TIMES,
    identity=st.fixed_dictionaries({"email": st.just("a@example.com")}, optional={"external_ids": JSON}),
    person=part("lead_event.v2", "Person"),
    context=part("lead_event.v2", "Context") | st.fixed_dictionaries({"first_touch": TOUCHES, "last_touch": TOUCHES}),
    properties=st.dictionaries(TEXT, JSON, max_size=3),
    consent=part("lead_event.v2", "ConsentStatement") | st.fixed_dictionaries({"sms": st.booleans(), "at": TIMES}),
).map(lambda body: {"type": "form.submitted", "identity": {"email": "a@example.com"}, **body})
OUTCOMES = sent(
    "lead_outcome.v1",
    reason=TEXT,
    note=TEXT,
    occurred_at=TIMES,
    identity=part("lead_outcome.v1", "Identity"),
    voice=part("lead_outcome.v1", "Voice"),
    amount=st.fixed_dictionaries({"value": st.from_regex(r"[0-9.]{1,9}"), "currency": st.just("JPY")}),
).map(lambda body: {"type": "contacted", "lead_id": "2b6a7f0e-1f59-5c0d-8a44-3a8f5b1c9d10", **body})


def check(kind: Kind, body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    verdict = Acceptance(kind, Receipt("site", "live", NOW), b"secret").judge(raw, "fresh")
    if isinstance(verdict, Accepted):
        assert decoder(kind.topic)(verdict.value, kind.dataschema).event_id == verdict.event_id
        document = schemas.documents()[kind.dataschema]
        jsonschema_rs.Draft202012Validator(document, validate_formats=True).validate(json.loads(verdict.value))


@unhurried
@given(EVENTS)
def test_an_accepted_event_can_be_read(body: dict[str, Any]) -> None:
    check(EVENT, body)


@unhurried
@given(OUTCOMES)
def test_an_accepted_outcome_can_be_read(body: dict[str, Any]) -> None:
    check(OUTCOME, body)


@pytest.mark.parametrize("kind", [EVENT, OUTCOME], ids=lambda kind: kind.name)
def test_the_plain_case_is_accepted(kind: Kind) -> None:
    body = {"type": "form.submitted" if kind is EVENT else "won", "identity": {"email": "a@example.com"}}
    verdict = Acceptance(kind, Receipt("site", "live", NOW), b"secret").judge(json.dumps(body).encode(), "fresh")

    assert isinstance(verdict, Accepted)
    check(kind, body)


def test_ingest_bounds_nesting_more_tightly_than_the_readers() -> None:
    assert limits.DEPTH_MAX < DEPTH_MAX

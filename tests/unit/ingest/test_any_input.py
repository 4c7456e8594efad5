"""Whatever is sent, the answer is a verdict: nothing raises, and what is accepted can be read by everybody."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import jsonschema_rs
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from funnel.contracts import LeadEvent, LeadOutcome
from funnel.schemas import documents
from services.ingest.domain.acceptance import Acceptance, Accepted, Refused
from services.ingest.domain.decoding import NotJson, TooManyItems, lines, read_batch
from services.ingest.domain.fields import Unfit
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from services.ingest.domain.receipt import BadParameters, Receipt, read_parameters, source_fault
from tests.unit.ingest.given import NOW, SECRET

VALIDATORS = {
    kind.name: jsonschema_rs.validator_for(documents()[kind.dataschema], validate_formats=True)
    for kind in (EVENT, OUTCOME)
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
texts = dict.fromkeys(("name", "name_kana", "title", "company", "message", "country"), text)
times = st.datetimes(min_value=datetime.fromisoformat("1970-01-02")).map(lambda at: at.isoformat() + "Z") | st.just("")
objects = st.dictionaries(text, st.none() | st.integers() | text | st.lists(text, max_size=3), max_size=3)


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


came_by = {"landing_url": text, "utm": some({"source": text}), "click_ids": st.dictionaries(text, text, max_size=3)}
touches = some({**came_by, "at": times})


identities = st.fixed_dictionaries(
    {"visitor_id": st.just("v-1") | text},
    optional={
        "email": st.just("jane@example.com") | st.none(),
        "phone": st.from_regex(r"\+?[0-9]{3,12}", fullmatch=True),
        "external_ids": st.dictionaries(st.sampled_from(["crm", "sfa"]), text),
    },
)
common = {"event_id": text, "occurred_at": times, "extra": objects}
good_events = st.fixed_dictionaries(
    {"type": st.sampled_from(["page.viewed", "x"]), "identity": identities},
    optional={
        **common,
        "person": some({**texts, "employees": st.integers(0, 10_000)}),
        "context": some({**came_by, "first_touch": touches, "last_touch": touches}),
        "properties": objects,
        "consent": some({"marketing": st.booleans(), "email": st.booleans() | st.none(), "at": times, "text": text}),
        "sent_at": times,
    },
)
good_outcomes = st.fixed_dictionaries(
    {"type": st.sampled_from(["won", "lost", "contacted"]), "lead_id": st.uuids().map(str), "reason": text},
    optional={
        **common,
        "identity": identities,
        "epoch": st.integers(1, 9),
        "channel": st.sampled_from(["phone", ""]),
        "amount": st.fixed_dictionaries({"value": st.just("1.5"), "currency": st.just("JPY")}),
        "voice": some({"text": text, "about": st.just("company"), "tags": st.lists(text, max_size=3)}),
        "meeting_at": times,
    },
)


def spoiled(good: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Good ones, some of them with anything at all in a field."""
    fields = ["type", "event_id", "occurred_at", "identity", "person", "context", "lead_id", "amount", "voice", "more"]
    return good | st.builds(lambda sent, name, value: {**sent, name: value}, good, st.sampled_from(fields), anything)


events, outcomes = spoiled(good_events), spoiled(good_outcomes)


def encoded(value: Any) -> bytes:
    """JSON as a careless client writes it: NaN, half surrogate pairs and all."""
    return json.dumps(value).encode()


def verdict(raw: bytes, kind: Kind) -> Accepted | Refused:
    return Acceptance(kind, Receipt("default", "live", NOW), SECRET).judge(raw, "fresh")


def check(raw: bytes, kind: Kind, contract: type[LeadEvent | LeadOutcome]) -> None:
    found = verdict(raw, kind)
    if isinstance(found, Refused):
        assert found.faults
        assert all(fault.pointer == "" or fault.pointer.startswith("/") for fault in found.faults)
        return
    VALIDATORS[kind.name].validate(json.loads(found.value))
    record = msgspec.json.decode(found.value, type=contract)
    assert record.event_id == found.event_id
    assert record.occurred_at is not None
    assert record.occurred_at <= NOW
    assert b"\\u0000" not in found.value.replace(b"\\\\", b"")


@given(anything | events)
def test_any_json_is_accepted_as_an_event_or_has_faults(value: Any) -> None:
    check(encoded(value), EVENT, LeadEvent)


@given(anything | outcomes)
def test_any_json_is_accepted_as_an_outcome_or_has_faults(value: Any) -> None:
    check(encoded(value), OUTCOME, LeadOutcome)


@given(st.binary(max_size=200))
def test_any_bytes_get_a_verdict(raw: bytes) -> None:
    assert isinstance(verdict(raw, EVENT), Accepted | Refused)


@given(st.binary(max_size=200) | anything.map(lambda value: encoded({"events": [value, 1]})))
def test_any_bytes_are_split_or_refused(raw: bytes) -> None:
    try:
        batch = read_batch(raw, "events")
        items = [] if batch is None else batch.items
    except (NotJson, Unfit, TooManyItems):
        items = []
    for item in [*items, *lines(raw)]:
        assert isinstance(Acceptance(EVENT, Receipt("s", "live", NOW), SECRET).judge(item, "f"), Accepted | Refused)


@given(st.binary(max_size=100))
def test_any_query_string_is_read_or_refused(query: bytes) -> None:
    try:
        found = read_parameters(query)
    except BadParameters:
        return
    assert found.source is None or source_fault(found.source) is None
    assert found.mode in ("live", "history")
    assert found.key != ""


@given(events)
def test_the_same_body_always_has_the_same_hash_and_key(value: Any) -> None:
    one, again = verdict(encoded(value), EVENT), verdict(encoded(value), EVENT)
    assert one == again

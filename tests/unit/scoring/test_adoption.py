"""Leads that were published and then lost come back as the same leads, whatever order their events are read in."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.contracts import LeadEvent, LeadScore
from services.scoring.domain.adoption import adopt
from tests.support.scoring import Memory, at_minute, default_scorer, event

SCORER = default_scorer()


@st.composite
def events(draw: st.DrawFn) -> LeadEvent:
    """Somebody of a few people, who share phones and browsers."""
    email = draw(st.sampled_from([None, "a@example.com", "b@example.com", "c@example.com"]))
    phone = draw(st.sampled_from([None, None, "+81312345678", "+81398765432"]))
    external = draw(st.sampled_from([None, None, {"crm": "1"}, {"crm": "2"}, {"erp": "1"}]))
    visitor = draw(st.sampled_from([None, "v-1", "v-2"]))
    if not (email or phone or external or visitor):
        email = "a@example.com"
    kind = draw(st.sampled_from(["page.viewed", "document.requested", "demo.requested"]))
    return event(kind, email=email, phone=phone, external=external, visitor=visitor, minute=draw(st.integers(0, 60)))


@given(st.lists(events(), max_size=6), st.lists(events(), max_size=8), st.data())
@settings(max_examples=300)
def test_published_leads_come_back_as_they_were(
    kept: list[LeadEvent], lost: list[LeadEvent], data: st.DataObject
) -> None:
    memory = Memory(SCORER)
    memory.apply_each(kept)
    after = deepcopy(memory)
    known = len(memory.published)
    for minute, one in enumerate(lost):
        after.apply([one], at_minute(minute))
    made = after.published[known:]
    published = made[: data.draw(st.integers(0, len(made)))]

    memory.adopt(adopt(published, memory.leads))
    for one in data.draw(st.permutations(lost)):
        memory.apply([one], at_minute(1000))

    newest = {record.lead_id: record for record in published}
    for lead_id, record in newest.items():
        check(memory, record, known)
        assert {one.version for one in memory.published[known:] if one.lead_id == lead_id} & set(
            range(record.version + 1)
        ) == set()


def check(memory: Memory, record: LeadScore, known: int) -> None:
    lead = memory.leads[record.lead_id].record
    assert lead.version >= record.version
    if record.qualified:
        assert (lead.qualified, lead.qualified_at) == (True, record.qualified_at)
    for identifier in memory.leads[record.lead_id].identifiers:
        assert memory.promises.get(identifier, record.lead_id) == record.lead_id
    for identifier, lead_id in memory.promises.items():
        assert memory.bindings.get(identifier) in (None, lead_id)


def test_a_caller_who_later_gave_an_address_is_no_second_lead_when_the_address_is_read_first() -> None:
    call, form = event("demo.requested", phone="+81312345678"), event(email="a@example.com", phone="+81312345678")
    before, memory = Memory(SCORER), Memory(SCORER)
    before.apply_each([call, form])
    memory.adopt(adopt(before.published, {}))
    memory.apply([form], at_minute(1))
    memory.apply([call], at_minute(2))
    first, again = before.only_lead(), memory.only_lead()
    assert (again.lead_id, again.version, again.qualified_at) == (first.lead_id, 4, first.qualified_at)
    assert (again.score, again.identifiers, again.created_at) == (first.score, first.identifiers, first.created_at)


def test_a_lead_that_is_known_in_an_older_version_goes_on_above_the_published_one() -> None:
    memory = Memory(SCORER)
    memory.apply([event(email="a@example.com")])
    later = deepcopy(memory)
    lost = event("demo.requested", email="a@example.com")
    later.apply([lost], at_minute(1))
    memory.adopt(adopt(later.published[1:], memory.leads))
    memory.apply([lost], at_minute(9))
    assert (memory.only_lead().version, memory.only_lead().score) == (3, later.only_lead().score)
    assert memory.only_lead().qualified_at == at_minute(1)

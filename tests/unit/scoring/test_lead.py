"""What touches add up to, through whole decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.contracts import (
    Consent,
    ConsentStatement,
    LeadEvent,
    LeadScore,
    Person,
    Reason,
    RememberedTouch,
    Utm,
)
from services.scoring.domain.config import parse_config
from services.scoring.domain.decide import Refused, read
from services.scoring.domain.lead import full_name
from services.scoring.domain.score import Scorer
from services.scoring.domain.touch import Moment, earliest, facts, latest
from tests.support.scoring import DAY, Memory, at_minute, default_scorer, event

SCORER = default_scorer()
MAIL = "a@example.com"


def memory(*batches: list[LeadEvent]) -> Memory:
    world = Memory(SCORER)
    for batch in batches:
        world.apply(batch)
    return world


def test_a_form_makes_a_qualified_lead_at_once() -> None:
    form = event("form.submitted", email="A@Example.com", person=Person(name="Hanako", message="Hello"))
    lead = memory([form]).only_lead()

    assert (lead.stage, lead.previous_stage, lead.qualified, lead.qualified_at) == ("mql", None, True, DAY)
    assert (lead.version, lead.score, lead.grade) == (1, 50, "B")
    assert lead.reasons == [Reason(rule="form submitted", points=50)]
    assert lead.contact is not None
    assert (lead.contact.email, lead.contact.name, lead.message) == (MAIL, "Hanako", "Hello")
    assert (lead.caused_by.source, lead.caused_by.event_id) == ("test", form.event_id)


def test_a_form_from_a_free_mail_address_qualifies_too() -> None:
    assert memory([event("form.submitted", email="a@gmail.com")]).only_lead().qualified


def test_what_a_visitor_did_counts_once_somebody_is_identified() -> None:
    ad = event("ad.clicked", visitor="v", minute=1, utm_source="google")
    visits = [event(visitor="v", minute=minute) for minute in (2, 3)]
    form = event("form.submitted", visitor="v", email=MAIL, minute=4, utm_source="newsletter")
    lead = memory([ad, *visits], [form]).only_lead()

    assert lead.created_at == form.occurred_at
    assert lead.engagement == 3 + 2 + 50
    assert lead.first_touch is not None
    assert (lead.first_touch.type, lead.origin) == ("ad.clicked", "google")


def test_visits_of_nobody_publish_nothing_and_are_kept() -> None:
    world = memory([event(visitor="v"), event(visitor="v")])

    assert not world.published
    assert [len(touches) for touches in world.touches.values()] == [2]


def test_history_engages_and_only_a_later_live_event_qualifies() -> None:
    world = memory([event("form.submitted", email=MAIL, mode="history")])
    assert (world.only_lead().stage, world.only_lead().mode, world.only_lead().qualified) == (
        "engaged",
        "history",
        False,
    )

    world.apply([event(email=MAIL, minute=1)], DAY + timedelta(hours=1))
    lead = world.only_lead()
    assert (lead.stage, lead.previous_stage, lead.mode) == ("mql", "engaged", "live")
    assert lead.qualified_at == DAY + timedelta(hours=1)


def test_history_after_the_qualifying_event_in_one_batch_does_not_hide_it() -> None:
    form = event("form.submitted", email=MAIL)
    lead = memory([form, event(email=MAIL, mode="history")]).only_lead()

    assert (lead.qualified, lead.mode, lead.caused_by.event_id) == (True, "live", form.event_id)


def test_a_live_event_before_enough_history_in_one_batch_does_not_qualify() -> None:
    lead = memory([event(email=MAIL), event("form.submitted", email=MAIL, mode="history")]).only_lead()

    assert (lead.stage, lead.mode) == ("engaged", "history")


def test_an_unknown_type_is_kept_and_gives_nothing() -> None:
    lead = memory([event("something.else", email=MAIL)]).only_lead()

    assert (lead.stage, lead.score, lead.grade, lead.reasons) == ("new", 0, "D", [])
    assert lead.last_touch is not None
    assert lead.last_touch.type == "something.else"


def test_a_batch_changes_a_lead_once() -> None:
    world = memory([event(email=MAIL) for _ in range(5)], [event(email=MAIL)])

    assert [record.version for record in world.published] == [1, 2]


def test_the_newest_value_wins_whenever_it_arrives() -> None:
    late = event(email=MAIL, minute=9, person=Person(company="New", title="CEO"))
    early = event(email=MAIL, minute=1, person=Person(company="Old", department="Sales"))
    lead = memory([late], [early]).only_lead()

    assert lead.person == Person(company="New", title="CEO", department="Sales")


def test_of_each_channel_the_newest_consent_stands() -> None:
    late = event(email=MAIL, minute=9, consent=ConsentStatement(email=False, sms=True))
    early = event(email=MAIL, minute=1, consent=ConsentStatement(email=True, phone=True, basis="consent", text="Yes."))
    lead = memory([late], [early]).only_lead()

    assert lead.consent == Consent(email=False, phone=True, sms=True)


def test_an_old_yes_that_is_told_late_does_not_undo_a_newer_no() -> None:
    no = event(email=MAIL, minute=5, consent=ConsentStatement(email=False))
    told_late = event(email=MAIL, minute=9, consent=ConsentStatement(email=True, phone=True, at=at_minute(1)))
    lead = memory([no], [told_late]).only_lead()

    assert lead.consent == Consent(email=False, phone=True)


def test_a_consent_said_in_the_future_counts_from_its_event() -> None:
    fast_clock = event(email=MAIL, minute=1, consent=ConsentStatement(email=True, at=at_minute(60)))
    no = event(email=MAIL, minute=5, consent=ConsentStatement(email=False))
    lead = memory([fast_clock], [no]).only_lead()

    assert lead.consent == Consent(email=False)


def test_an_event_that_says_nothing_takes_nothing_back() -> None:
    lead = memory([event(email=MAIL, person=Person(company="x"))], [event(email=MAIL, minute=5)]).only_lead()

    assert lead.person == Person(company="x")


def test_a_company_number_names_the_account() -> None:
    person = Person(company="Example KK", corporate_number="1234567890123")
    lead = memory([event(email=MAIL, person=person)]).only_lead()

    assert lead.account is not None
    assert (lead.account.id, lead.account.name) == ("1234567890123", "Example KK")


@pytest.mark.parametrize(
    ("utm", "properties", "origin"),
    [
        ("google", {"origin": "fair"}, "google"),
        (None, {"origin": "fair"}, "fair"),
        (None, {"origin": 7}, "test"),
        (None, None, "test"),
    ],
)
def test_the_origin_is_the_campaign_or_what_is_said_or_who_sent_it(
    utm: str | None, properties: dict[str, Any] | None, origin: str
) -> None:
    assert memory([event(email=MAIL, utm_source=utm, properties=properties)]).only_lead().origin == origin


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": "山田 太郎", "last_name": "x"}, "山田 太郎"),
        ({"first_name": "太郎", "last_name": "山田"}, "山田 太郎"),
        ({"first_name": "Taro", "last_name": "Yamada"}, "Taro Yamada"),
        ({"last_name": "山田"}, "山田"),
        ({}, None),
    ],
)
def test_a_name_in_parts_is_put_together_as_its_bearer_would(fields: dict[str, str], name: str | None) -> None:
    assert full_name(fields) == name


def test_an_event_about_nobody_is_refused_with_a_reason() -> None:
    with pytest.raises(Refused, match="identity"):
        read("test", "1", event(email="  "), None)


def test_new_rules_are_applied_to_all_touches_with_the_next_event() -> None:
    world = memory([event(visitor="v")], [event(email=MAIL, visitor="v"), event("webinar.attended", email=MAIL)])
    other = "stages: {engaged: 1, mql: 500}\ngrades: {A: 0}\n" + (
        "engagement: {cap: 900, rules: [{rule: any page, type: page.viewed, points: 100}]}\nfit: {cap: 0, rules: []}"
    )
    world.scorer = Scorer(parse_config(other, "other"))

    world.apply([event("something.else", email=MAIL)])

    lead = world.only_lead()
    assert lead.reasons == [Reason(rule="any page", points=200)]
    assert lead.config_version == world.scorer.config.version


def test_the_published_record_is_the_stored_one_and_its_envelope_names_it() -> None:
    outcome = Memory(SCORER).apply([event("form.submitted", email=MAIL)])

    (change,), (record,) = outcome.changes, outcome.outgoing
    assert msgspec.json.decode(record.value, type=LeadScore) == change.lead.record
    lead_id = change.lead.record.lead_id
    assert (record.topic, record.key, record.ce_id) == ("lead-scores", lead_id, f"{lead_id}:1")
    assert (record.ce_source, record.ce_type, record.ce_dataschema) == ("scoring", "lead.scored", "lead_score.v2")


_PEOPLE = st.builds(
    Person,
    company=st.sampled_from([None, "x", "y"]),
    title=st.sampled_from([None, "部長", "clerk"]),
    employees=st.sampled_from([None, 5, 300]),
)


_TIMES = st.none() | st.integers(-5, 9).map(lambda minute: at_minute(minute))
_CONSENTS = st.builds(ConsentStatement, email=st.none() | st.booleans(), at=_TIMES)
_REMEMBERED = st.builds(
    RememberedTouch,
    at=_TIMES,
    landing_url=st.sampled_from([None, "https://example.com/?gclid=AbC"]),
    utm=st.sampled_from([None, Utm(), Utm(source="ads")]),
)


@st.composite
def one_persons_events(draw: st.DrawFn) -> list[LeadEvent]:
    """Events of one person, some of them before they gave a name; at least one gives both name and cookie."""
    events = [event("form.submitted", email=MAIL, visitor="v", minute=draw(st.integers(0, 5)), event_id="link")]
    for number in range(draw(st.integers(0, 7))):
        named = draw(st.booleans())
        events.append(
            event(
                draw(st.sampled_from(["page.viewed", "ad.clicked", "document.requested", "unknown"])),
                email=MAIL if named else None,
                phone=draw(st.sampled_from([None, "03-1234-5678", "03-1234-5679"])) if named else None,
                visitor="v",
                minute=draw(st.integers(0, 5)),
                event_id=str(number),
                mode=draw(st.sampled_from(["live", "history"])),
                page=draw(st.sampled_from([None, "https://example.com/pricing"])),
                utm_source=draw(st.sampled_from([None, "google"])),
                person=draw(st.none() | _PEOPLE),
                consent=draw(st.none() | _CONSENTS),
                first_touch=draw(st.none() | _REMEMBERED),
                last_touch=draw(st.none() | _REMEMBERED),
            )
        )
    return events


def what_they_add_up_to(lead: LeadScore) -> dict[str, Any]:
    """The parts of a lead that may not depend on the order of arrival."""
    whole = msgspec.to_builtins(lead)
    kept = "score fit engagement grade reasons origin identifiers contact person first_touch last_touch consent account"
    return {key: whole.get(key) for key in kept.split()}


@given(one_persons_events(), st.data())
def test_the_order_of_arrival_does_not_matter(events: list[LeadEvent], data: st.DataObject) -> None:
    first, second = Memory(SCORER), Memory(SCORER)
    first.apply_each(events)
    second.apply_each(data.draw(st.permutations(events)))

    assert what_they_add_up_to(first.only_lead()) == what_they_add_up_to(second.only_lead())


@given(one_persons_events(), st.data())
def test_the_cut_into_batches_does_not_matter(events: list[LeadEvent], data: st.DataObject) -> None:
    events = data.draw(st.permutations(events))
    each, cut = Memory(SCORER), Memory(SCORER)
    each.apply_each(events)
    while events:
        size = data.draw(st.integers(1, len(events)))
        cut.apply(events[:size])
        events = events[size:]

    one, other = each.only_lead(), cut.only_lead()
    assert what_they_add_up_to(one) == what_they_add_up_to(other)
    assert (one.lead_id, one.stage, one.created_at) == (other.lead_id, other.stage, other.created_at)


@given(one_persons_events())
def test_a_lead_always_equals_what_its_touches_say(events: list[LeadEvent]) -> None:
    world = Memory(SCORER)
    for end, one in enumerate(events, start=1):
        world.apply([one])
        for lead_id, lead in world.leads.items():
            touches = world.touches_of(lead_id)
            assert len(touches) == end
            fields: dict[str, Any] = {}
            counts: dict[str, int] = {}
            since: dict[str, Moment] = {}
            for touch in sorted(touches, key=lambda touch: touch.moment):
                for field, value, moment in facts(touch):
                    if field not in since or moment > since[field]:
                        since[field], fields[field] = moment, value
                for rule in SCORER.matches(touch.type, touch.page_url):
                    counts[rule] = counts.get(rule, 0) + 1
            expected = SCORER.score(fields, counts)
            assert (lead.record.score, lead.record.reasons) == (expected.total, list(expected.reasons))
            told = [earliest(touch, latest(touch)) for touch in touches]
            assert lead.record.first_touch == min(told, key=lambda one: (one.occurred_at, one.event_id, one.source))
            assert lead.record.last_touch == latest(max(touches, key=lambda touch: touch.moment))


@given(one_persons_events())
def test_history_alone_never_qualifies(events: list[LeadEvent]) -> None:
    world = Memory(SCORER)
    world.apply_each(msgspec.structs.replace(one, mode="history") for one in events)

    assert not world.only_lead().qualified
    assert {record.stage for record in world.published} <= {"new", "engaged"}

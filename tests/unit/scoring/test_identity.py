from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from funnel import ids
from funnel.identifiers import Identifier
from services.scoring.domain.identity import Resolution, Sighting, resolve

A = Identifier("email", "a@example.com")
B = Identifier("email", "b@example.com")
PHONE = Identifier("phone", "+81312345678")
CRM_1 = Identifier("external", "crm:1")
CRM_2 = Identifier("external", "crm:2")
WEB_1 = Identifier("external", "web:1")
COOKIE = Identifier("visitor", "v")


def sightings(*of: Sequence[Identifier]) -> list[Sighting]:
    return [Sighting("test", str(number), tuple(one)) for number, one in enumerate(of)]


def resolve_new(*of: Sequence[Identifier]) -> Resolution:
    """A batch in a world where nobody is known."""
    return resolve({one: None for some in of for one in some}, {}, sightings(*of))


def test_the_event_that_first_names_a_person_creates_the_lead() -> None:
    resolution = resolve_new([A], [A])

    lead = ids.lead_id("test", "0")
    assert resolution.leads == (lead, lead)
    assert resolution.created == {lead: 0}
    assert resolution.claimed == {A: lead}


def test_a_visitor_known_by_a_cookie_alone_is_no_lead() -> None:
    resolution = resolve_new([COOKIE])

    assert resolution.leads == (None,)
    assert not resolution.created
    assert not resolution.claimed


def test_a_visitor_joins_the_lead_that_identifies_it() -> None:
    resolution = resolve_new([COOKIE], [A, COOKIE], [COOKIE])

    lead = ids.lead_id("test", "1")
    assert resolution.leads == (None, lead, lead)
    assert resolution.claimed == {A: lead, COOKIE: lead}


def test_an_event_links_identifiers_that_later_events_use_alone() -> None:
    resolution = resolve_new([A, PHONE], [PHONE, CRM_1], [CRM_1])

    assert len(set(resolution.leads)) == 1


def test_the_strongest_identifier_decides_and_the_others_are_reported() -> None:
    known = {A: "lead-a", PHONE: "lead-p", COOKIE: "lead-p"}
    resolution = resolve(known, {"lead-a": [A], "lead-p": [PHONE, COOKIE]}, sightings([A, PHONE, COOKIE]))

    assert resolution.leads == ("lead-a",)
    assert [(one.lead_id, one.other_lead_id, one.identifier) for one in resolution.conflicts] == [
        ("lead-a", "lead-p", PHONE),
        ("lead-a", "lead-p", COOKIE),
    ]
    assert not resolution.claimed


def test_two_addresses_at_one_switchboard_are_two_people() -> None:
    resolution = resolve_new([A, PHONE], [B, PHONE])

    first, second = resolution.leads
    assert first != second
    assert resolution.claimed == {A: first, PHONE: first, B: second}
    assert [(one.lead_id, one.other_lead_id, one.identifier) for one in resolution.conflicts] == [
        (second, first, PHONE)
    ]


def test_two_addresses_on_one_tablet_are_two_people() -> None:
    first, second = resolve_new([A, COOKIE], [B, COOKIE]).leads
    assert first != second


def test_two_ids_of_one_system_at_one_switchboard_are_two_people() -> None:
    first, second = resolve_new([PHONE, CRM_1], [PHONE, CRM_2]).leads
    assert first != second


def test_ids_of_different_systems_do_not_keep_people_apart() -> None:
    first, second = resolve_new([PHONE, CRM_1], [PHONE, WEB_1]).leads
    assert first == second


def test_an_external_id_finds_a_person_who_changed_the_address() -> None:
    resolution = resolve_new([A, CRM_1], [B, CRM_1], [B])

    assert len(set(resolution.leads)) == 1
    assert not resolution.conflicts


def test_a_caller_becomes_known_by_address_later() -> None:
    first, second = resolve_new([PHONE], [A, PHONE]).leads
    assert first == second


_IDENTIFIERS = st.tuples(
    st.sampled_from([None, "a", "b", "c"]),
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([None, "crm:1", "crm:2", "web:1"]),
    st.sampled_from([None, "v", "w"]),
).filter(any)


@st.composite
def batches(draw: st.DrawFn) -> list[Sighting]:
    kinds = ("email", "phone", "external", "visitor")
    rows = draw(st.lists(_IDENTIFIERS, max_size=12))
    return sightings(
        *([Identifier(kind, value) for kind, value in zip(kinds, row, strict=True) if value] for row in rows)  # type: ignore[arg-type]
    )


@given(batches())
def test_every_event_has_one_lead_or_only_a_visitor(batch: list[Sighting]) -> None:
    resolution = resolve({}, {}, batch)

    assert len(resolution.leads) == len(batch)
    for sighting, lead in zip(batch, resolution.leads, strict=True):
        assert lead is not None or [one.kind for one in sighting.identifiers] == ["visitor"]
    assert {lead for lead in resolution.leads if lead} == set(resolution.created)


@given(batches())
def test_an_event_with_an_address_belongs_to_the_one_lead_of_that_address(batch: list[Sighting]) -> None:
    resolution = resolve({}, {}, batch)

    for sighting, lead in zip(batch, resolution.leads, strict=True):
        if sighting.identifiers[0].kind == "email":
            assert lead == resolution.claimed[sighting.identifiers[0]]


@given(batches(), st.data())
def test_the_answer_does_not_depend_on_how_events_are_cut_into_batches(
    batch: list[Sighting], data: st.DataObject
) -> None:
    whole = resolve({}, {}, batch)

    cut = data.draw(st.integers(0, len(batch)))
    first = resolve({}, {}, batch[:cut])
    owned: dict[str, list[Identifier]] = {lead: [] for lead in first.created}
    for identifier, lead in first.claimed.items():
        owned[lead].append(identifier)
    second = resolve(dict(first.claimed), owned, batch[cut:])

    assert first.leads + second.leads == whole.leads
    assert {**first.claimed, **second.claimed} == whole.claimed
    assert first.conflicts + second.conflicts == whole.conflicts


@given(batches())
def test_a_claim_is_never_taken_away(batch: list[Sighting]) -> None:
    resolution = resolve({}, {}, batch)
    held: dict[Identifier, str] = {}
    for end in range(len(batch) + 1):
        now = resolve({}, {}, batch[:end]).claimed
        assert held.items() <= now.items()
        held = dict(now)
    assert held == resolution.claimed

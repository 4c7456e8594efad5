"""Journeys: the same for the same seed, and like what real people do."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import phonenumbers
import pytest
import yaml

from funnel.demo.journeys import Journey, Post, journeys
from funnel.demo.people import people
from funnel.demo.replies import replies
from funnel.demo.team import ENTERPRISE, REPS, pool_of, routing_yaml
from tests.unit.demo.records import assigned

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def posts(found: list[Journey]) -> list[Post]:
    return [post for journey in found for post in journey.posts]


def test_the_same_seed_gives_the_same_journeys() -> None:
    assert journeys(7, 50, NOW) == journeys(7, 50, NOW)
    assert journeys(7, 50, NOW) != journeys(8, 50, NOW)


def test_more_leads_begin_with_the_same_people_and_journeys() -> None:
    assert journeys(7, 90, NOW)[:50] == journeys(7, 50, NOW)[:50]


def test_every_event_has_an_id_of_its_own() -> None:
    ids = Counter((post.source, post.event_id) for post in posts(journeys(7, 400, NOW)))
    assert set(ids.values()) == {1}


def test_a_journey_begins_under_a_cookie_alone_and_a_name_comes_later() -> None:
    for journey in journeys(7, 100, NOW):
        first = journey.posts[0]
        assert set(first.identity) == {"visitor_id"}
        assert first.body["type"] in ("page.viewed", "ad.clicked")
        named = [post for post in journey.posts if "email" in post.identity]
        assert bool(named) == (journey.person is not None)


def test_some_visitors_never_give_a_name() -> None:
    assert sum(journey.person is None for journey in journeys(7, 100, NOW)) == 25


def test_about_a_fifth_of_the_posts_go_out_twice() -> None:
    found = posts(journeys(7, 1000, NOW))
    assert 0.17 < sum(post.times == 2 for post in found) / len(found) < 0.23


def test_some_people_use_a_second_form_in_another_spelling_or_by_phone() -> None:
    again = [
        (journey.person, post)
        for journey in journeys(7, 300, NOW)
        for post in journey.posts
        if post.wave == 1 and journey.person is not None
    ]
    assert len(again) > 30
    assert {"email", "phone"} <= {kind for _, post in again for kind in post.identity}
    for person, post in again:
        assert post.identity.get("email") != person.email
        assert post.identity.get("phone", "none") != person.phone
        if phone := post.identity.get("phone"):
            first = phonenumbers.parse(person.phone or "", "JP")
            assert phonenumbers.parse(phone, "JP") == first


def test_nothing_happens_after_now_or_long_before() -> None:
    for post in posts(journeys(7, 300, NOW)):
        assert NOW - timedelta(days=22) < datetime.fromisoformat(post.body["occurred_at"]) <= NOW


def test_people_have_addresses_and_numbers_of_nobody() -> None:
    found = people(7, 500)
    emails = [person.email for person in found]
    assert len(set(emails)) == len(emails)
    assert all(email.endswith((".example.com", ".example.jp")) and email.isascii() for email in emails)
    phones = [person.phone for person in found if person.phone is not None]
    assert len(set(phones)) == len(phones)
    for phone in phones:
        number = phonenumbers.parse(phone, "JP")
        assert phonenumbers.is_valid_number(number)
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert national.startswith(("+8120", "+4420794600", "+442079460", "+1"))
        assert not national.startswith("+1") or national[5:10] == "55501"


def test_the_team_has_less_room_than_there_are_people() -> None:
    found = people(7, 60)
    document = yaml.safe_load(routing_yaml(found))
    room = {rep["id"]: rep["capacity"] for rep in document["reps"]}
    for pool, members in REPS.items():
        expected = sum(pool_of(person) == pool for person in found)
        assert 0 < sum(room[rep] for rep, _ in members) < expected
    assert [rule["pool"] for rule in document["rules"]] == [ENTERPRISE, "inside"]


@pytest.mark.parametrize("leads", [1, 2, 5])
def test_even_a_tiny_team_has_room_for_somebody(leads: int) -> None:
    document = yaml.safe_load(routing_yaml(people(7, leads)))
    assert sum(rep["capacity"] for rep in document["reps"]) >= 1


def test_replies_are_the_same_for_the_same_seed_and_name_the_assignment_they_answer() -> None:
    given = [(number, assigned(f"lead-{number}", 1, rep="kato")) for number in range(200)]
    found = replies(7, given, NOW)
    assert found == replies(7, given, NOW)
    outcomes = [outcome for reply in found for outcome, _ in reply.outcomes]
    assert {outcome["type"] for outcome in outcomes} >= {"accepted", "rejected", "won", "lost"}
    for outcome in outcomes:
        assert outcome["assignment_id"] == f"{outcome['lead_id']}/1"
        assert ("reason" in outcome) == (outcome["type"] in ("rejected", "lost"))
        assert ("amount" in outcome) == (outcome["type"] == "won")

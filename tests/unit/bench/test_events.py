from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime

import msgspec

from bench.events import EVENTS_PER_PERSON, PEOPLE, SENT_TWICE_EVERY, counted, forms, rich, traffic
from bench.spine_service import Event
from funnel.contracts import LeadEvent
from services.ingest.domain.acceptance import Acceptance, Accepted
from services.ingest.domain.kinds import EVENT
from services.ingest.domain.receipt import Receipt

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def test_everybody_sends_their_events_in_order() -> None:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for record in counted(100):
        event = msgspec.json.decode(record.value, type=Event)
        numbers[event.person].append(event.n)
    assert len(numbers) == 10
    assert all(sent == list(range(1, EVENTS_PER_PERSON + 1)) for sent in numbers.values())


def test_counted_events_have_an_id_each() -> None:
    assert len({record.header("ce_id") for record in counted(100)}) == 100


def test_traffic_is_the_same_whenever_it_is_made() -> None:
    assert traffic(300, NOW) == traffic(300, NOW)


def test_traffic_has_the_events_asked_for_and_a_few_sent_twice() -> None:
    fed = traffic(500, NOW)
    ids = Counter((record.header("ce_source"), record.header("ce_id")) for record in fed.records)
    assert ids.keys() == fed.event_ids
    assert len(ids) == 500
    assert ids.total() == 500 + 500 // SENT_TWICE_EVERY


def test_a_person_of_the_traffic_has_one_address() -> None:
    fed = traffic(3000, NOW)
    assert len(fed.people) == len(fed.emails) > 0


def test_the_posts_of_one_person_keep_their_order() -> None:
    last: dict[str, datetime] = {}
    for record in traffic(500, NOW).records:
        event = msgspec.json.decode(record.value, type=LeadEvent)
        if event.type != "page.viewed" or event.identity.visitor_id is None:
            continue
        assert last.get(event.identity.visitor_id, event.occurred_at) <= event.occurred_at
        last[event.identity.visitor_id] = event.occurred_at


def test_every_form_is_about_somebody_else() -> None:
    bodies = [msgspec.json.decode(body) for body in forms(50, NOW)]
    assert [body["event_id"] for body in bodies] == [f"form-{number}" for number in range(50)]
    assert len({body["identity"]["email"] for body in bodies}) == 50
    assert {body["type"] for body in bodies} == {"form.submitted"}


def test_rich_events_are_about_different_people_even_when_there_are_more_than_known() -> None:
    events = rich("00", PEOPLE + 5, NOW)
    assert len({event["event_id"] for event in events}) == PEOPLE + 5
    assert len({event["identity"]["email"] for event in events}) == PEOPLE + 5


def test_rich_events_have_what_a_website_knows_and_are_all_accepted() -> None:
    acceptance = Acceptance(EVENT, Receipt("bench", "live", NOW), b"secret")
    for event in rich("00", 50, NOW):
        assert {"person", "context", "properties", "consent"} <= event.keys()
        assert isinstance(acceptance.judge(msgspec.json.encode(event), ""), Accepted)


def test_rich_events_under_another_label_are_of_the_same_size() -> None:
    first, second = rich("00", 20, NOW), rich("41", 20, NOW)
    assert [len(msgspec.json.encode(event)) for event in first] == [len(msgspec.json.encode(event)) for event in second]
    assert not {event["event_id"] for event in first} & {event["event_id"] for event in second}

"""What is fed: events that count themselves for the bare spine, journeys of people for the real services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import cycle, islice
from random import Random
from typing import Any

import msgspec

from bench.records import Record
from bench.spine_service import Event
from funnel.demo.journeys import Journey, Post, journeys
from services.ingest.domain.acceptance import Acceptance, Accepted
from services.ingest.domain.kinds import EVENT
from services.ingest.domain.receipt import Receipt

SEED = 11
EVENTS_PER_PERSON = 10
"""Of the bare spine: a batch of 1000 then meets about as many people."""

UNDER_WAY = 600
"""Journeys that go on side by side: so many people are on the website at once."""

SENT_TWICE_EVERY = 50
"""Every so-manieth event comes again under the same id, as after a timeout."""

PEOPLE = 1000
"""People whose forms the posts to ingest are made of."""

_SECRET = b"of the bench"


def counted(events: int) -> Iterator[Record]:
    """`events` records: the first event of everybody, the second of everybody, and so on."""
    people = events // EVENTS_PER_PERSON
    headers = [
        ("ce_type", b"bench.happened"),
        ("ce_source", b"bench"),
        ("ce_time", b"2026-11-22T09:00:00.000000Z"),
        ("ce_dataschema", b"bench_event.v1"),
    ]
    for number in range(people * EVENTS_PER_PERSON):
        person, n = f"person-{number % people}", number // people + 1
        value = msgspec.json.encode(Event(person, n))
        yield Record(person.encode(), value, [("ce_id", b"%d" % number), *headers])


@dataclass(frozen=True, slots=True)
class Traffic:
    """Records as ingest would store them, and what must come of them."""

    records: Sequence[Record]
    event_ids: frozenset[tuple[str, str]]
    people: frozenset[int]
    emails: frozenset[str]
    """Of the people who gave their name; each must become one lead, known by that address."""


def traffic(events: int, now: datetime) -> Traffic:
    """`events` different events of journeys under way, some of them sent twice. The same for the same `now`."""
    posts = list(_walk(journeys(SEED, UNDER_WAY + events // 3, now), events))
    records: list[Record] = []
    for index, (_, post) in enumerate(posts):
        record = _stored(post, now)
        records += [record, record] if index % SENT_TWICE_EVERY == 0 else [record]
    named = [journey.person for journey, post in posts if journey.person and set(post.identity) != {"visitor_id"}]
    return Traffic(
        records,
        frozenset((post.source, post.event_id) for _, post in posts),
        frozenset(person.number for person in named),
        frozenset(journey.person.email for journey, post in posts if journey.person and post.identity.get("email")),
    )


def _walk(cast: Sequence[Journey], events: int) -> Iterator[tuple[Journey, Post]]:
    """The posts of many journeys side by side: whoever comes to an end is replaced by the next."""
    random = Random(SEED)
    waiting = iter(random.sample(cast, len(cast)))
    under_way = [(journey, iter(journey.posts)) for journey, _ in zip(waiting, range(UNDER_WAY), strict=False)]
    for _ in range(events):
        post = None
        while post is None:
            place = random.randrange(len(under_way))
            journey, posts = under_way[place]
            post = next(posts, None)
            if post is None:
                journey = next(waiting)
                under_way[place] = journey, iter(journey.posts)
        yield journey, post


def _stored(post: Post, now: datetime) -> Record:
    receipt = Receipt(post.source, "live", now.astimezone(UTC))
    verdict = Acceptance(EVENT, receipt, _SECRET).judge(msgspec.json.encode(post.body), "")
    if not isinstance(verdict, Accepted):
        raise ValueError(f"ingest refuses {post.body}: {verdict}")
    return Record(verdict.key, verdict.value, verdict.headers)


def forms(count: int, now: datetime) -> list[bytes]:
    """`count` bodies to post, each a form of somebody new; the event ids are `form-0`, `form-1` and so on."""
    asked = [_request(journey) for journey in journeys(SEED, count, now) if journey.person is not None]
    kept = ("identity", "person", "context", "consent")
    return [
        msgspec.json.encode(
            {"event_id": f"form-{number}", "type": "form.submitted"} | {name: post.body[name] for name in kept}
        )
        for number, post in enumerate(asked)
    ]


def _request(journey: Journey) -> Post:
    """The first post of a journey under a name."""
    return next(post for post in journey.posts if set(post.identity) != {"visitor_id"})


def rich(label: str, count: int, now: datetime) -> list[dict[str, Any]]:
    """`count` events as a good website sends them, with nearly every field; ids begin with `label`, as do addresses.

    Each is about somebody else. They differ from those of another label of the same length by nothing but that.
    """
    return [
        {
            **body,
            "event_id": f"{label}-{number:06d}",
            "identity": {**body["identity"], "email": f"{label}.{number:06d}.{body['identity']['email']}"},
        }
        for number, body in enumerate(islice(cycle(_rich(now)), count))
    ]


@lru_cache(maxsize=1)
def _rich(now: datetime) -> list[dict[str, Any]]:
    asked = [_request(journey).body for journey in journeys(SEED, PEOPLE, now) if journey.person is not None]
    return [
        {
            "event_id": "",
            "type": body["type"],
            "occurred_at": body["occurred_at"],
            "identity": {"external_ids": {"crm": f"{number:08d}"}, **body["identity"]},
            "person": {**body["person"], "region": "東京都", "city": "千代田区", "postal_code": "100-0001"},
            "context": {
                **body["context"],
                "referrer": "https://search.example.com/?q=リード+管理",
                "utm": {"source": "google", "medium": "cpc", "campaign": "2026-autumn", "term": "リード管理"},
                "click_ids": {"gclid": f"Cj0KCQiA-{number:024d}"},
            },
            "properties": {"form": "contact", "fields": {"interest": ["scoring", "routing"], "部署": "営業部"}},
            "consent": {"marketing": True, "email": True, "phone": False},
        }
        for number, body in enumerate(asked)
    ]

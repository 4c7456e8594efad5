"""What clients send: seed -> events of invented people, one by one, in batches, as NDJSON, as forms.

The content of every item depends on the seed alone. Who an item is about is told beside it (`person`), since the same
person comes with a cookie, an address in another spelling, or a telephone number.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

from funnel.demo.journeys import Journey, Post, journeys

EVENTS_PER_LEAD: Final = 5.5
"""At least so many items go out for each person who gives a name, repeats included."""

_AT_ONCE: Final = 40
_LARGEST_BATCH: Final = 25
_REPEATED_AFTER: Final = 30


class Way(StrEnum):
    """How items get to ingest."""

    SINGLE = "single"
    BATCH = "batch"
    NDJSON = "ndjson"
    FORM = "form"
    OUTCOMES = "outcomes"


_SHARES: Final = {Way.SINGLE: 0.7, Way.BATCH: 0.2, Way.NDJSON: 0.1}
_FORM_SHARE: Final = 0.5
"""Of the requests that people make by a form, so many come as one; the others are told by a site's server."""


@dataclass(frozen=True, slots=True)
class Item:
    """One event or outcome. `content` are its bytes as they are sent; `form` when they are those of a form."""

    kind: str
    source: str
    event_id: str
    person: str
    type: str
    content: bytes
    form: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the item as sent."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Request:
    """Items of one source that travel together; forms and single events alone."""

    way: Way
    items: Sequence[Item]

    @property
    def path(self) -> str:
        if self.way is Way.FORM:
            return f"/v1/forms/{self.items[0].form}"
        return {Way.SINGLE: "/v1/events", Way.OUTCOMES: "/v1/outcomes"}.get(self.way, "/v1/events/batch")

    @property
    def source(self) -> str:
        return self.items[0].source

    @property
    def content_type(self) -> str:
        if self.way is Way.FORM:
            return "application/x-www-form-urlencoded"
        return "application/x-ndjson" if self.way is Way.NDJSON else "application/json"

    @property
    def content(self) -> bytes:
        contents = [item.content for item in self.items]
        if self.way is Way.NDJSON:
            return b"\n".join(contents)
        if self.way is Way.BATCH:
            return b'{"events":[' + b",".join(contents) + b"]}"
        if self.way is Way.OUTCOMES and len(contents) > 1:
            return b'{"outcomes":[' + b",".join(contents) + b"]}"
        return contents[0]


def cast(seed: int, events: int, now: datetime) -> list[Journey]:
    """The people whose journeys hold at least `events` items."""
    return journeys(seed, math.ceil(events / EVENTS_PER_LEAD), now)


def requests(seed: int, journeys: Iterable[Journey]) -> Iterator[Request]:
    """Everything the people of `journeys` send, in order: many journeys side by side, each one's posts in its order."""
    random = Random(f"traffic/{seed}")
    items = _in_turns(random, journeys)
    held: Item | None = None  # it did not fit into the request before
    while first := held or next(items, None):
        held = None
        if first.form:
            yield Request(Way.FORM, (first,))
            continue
        (way,) = random.choices(list(_SHARES), list(_SHARES.values()))
        together = [first]
        size = 1 if way is Way.SINGLE else random.randint(2, _LARGEST_BATCH)
        while len(together) < size:
            if (one := next(items, None)) is None:
                break
            if one.form or one.source != first.source:
                held = one
                break
            together.append(one)
        yield Request(way, tuple(together))


def outcome(body: Mapping[str, Any], source: str) -> Item:
    """What a sales tool reports."""
    content = _json(body)
    return Item("outcome", source, str(body["event_id"]), str(body["lead_id"]), str(body["type"]), content)


def _in_turns(random: Random, journeys: Iterable[Journey]) -> Iterator[Item]:
    """The next item of one of `_AT_ONCE` journeys, drawn anew each time; repeats come a while after their first."""
    waiting, active = iter(journeys), list[Iterator[tuple[Item, int]]]()
    repeats: list[tuple[int, Item]] = []
    number = 0
    while True:
        while len(active) < _AT_ONCE and (journey := next(waiting, None)):
            active.append(_items(random, journey))
        if not active:
            break
        place = random.randrange(len(active))
        if (found := next(active[place], None)) is None:
            active.pop(place)
            continue
        item, times = found
        number += 1
        yield item
        if times > 1:
            repeats.append((number + _REPEATED_AFTER, item))
        while repeats and repeats[0][0] <= number:
            yield repeats.pop(0)[1]
    yield from (item for _, item in repeats)


def _items(random: Random, journey: Journey) -> Iterator[tuple[Item, int]]:
    """The items of one journey, each with how often it goes out."""
    for post in journey.posts:
        yield _item(random, journey, post), post.times


def _item(random: Random, journey: Journey, post: Post) -> Item:
    named = journey.person is not None and ("email" in post.identity or "phone" in post.identity)
    person = journey.person.email if journey.person and named else post.identity["visitor_id"]
    type_ = str(post.body["type"])
    if named and "email" in post.identity and random.random() < _FORM_SHARE:
        form = post.body["context"]["page_url"].rpartition("/")[2]
        return Item("event", post.source, post.event_id, person, type_, _form(post), form)
    return Item("event", post.source, post.event_id, person, type_, _json(post.body))


def _form(post: Post) -> bytes:
    """The fields of a form as a browser sends them."""
    told = post.body["person"]
    fields = {
        "_event_id": post.event_id,
        "_type": post.body["type"],
        "_visitor_id": post.identity["visitor_id"],
        "_page_url": post.body["context"]["page_url"],
        "email": post.identity["email"],
        "tel": post.identity.get("phone", ""),
        "name": told["name"],
        "company": told["company"],
        "department": told["department"],
        "jobtitle": told["title"],
        "employees": str(told["employees"]),
        "industry": told["industry"],
        "country": told["country"],
        "message": told.get("message", ""),
    }
    return urlencode({name: text for name, text in fields.items() if text}).encode("ascii")


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

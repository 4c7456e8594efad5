"""What people do before and after they give their name: seed -> posts, the same for the same seed.

A journey begins with visits and clicks under a cookie; nobody knows who that is. Then comes a form, a document or a
demo request under a name, sometimes a second form in another spelling or from another device. About a fifth of the
posts go out twice with the same event_id, as impatient browsers and proxies do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from funnel.demo.people import Person, people

REPEATED = 0.2
SECOND_FORM = 0.2
VISITORS_PER_LEAD = 4
"""For so many people who give their name there is one more visitor who never does."""

WEBSITE = "website"
ADS = "ads"

_PAGES = ("/", "/products", "/cases", "/blog/lead-time", "/pricing", "/about", "/products/connect")
_REQUESTS = {"form.submitted": 0.5, "document.requested": 0.35, "demo.requested": 0.15}
_FORMS = {"form.submitted": "/contact", "document.requested": "/library", "demo.requested": "/demo"}
_ARRIVALS: tuple[dict[str, str] | None, ...] = (
    {"source": "google", "medium": "cpc", "campaign": "autumn"},
    {"source": "newsletter", "medium": "email", "campaign": "november"},
    {"source": "linkedin", "medium": "social"},
    None,
    None,
)
_MESSAGES = {
    "JP": ("導入事例を教えてください。", "見積もりをお願いします。", "来週打ち合わせは可能でしょうか。"),
    "": ("Could you send us a quote?", "We compare three suppliers.", "How long does a rollout take?"),
}


@dataclass(frozen=True, slots=True)
class Post:
    """One event to post. `times` is 2 when it goes out again under the same id.

    `wave` 1 is posted when everything of wave 0 has arrived: it comes days later in the journey, so it must not
    overtake what made the person known.
    """

    source: str
    body: Mapping[str, Any]
    times: int = 1
    wave: int = 0

    @property
    def event_id(self) -> str:
        """The id of the event within its source."""
        return str(self.body["event_id"])

    @property
    def identity(self) -> Mapping[str, str]:
        """Who the event is about."""
        identity: Mapping[str, str] = self.body["identity"]
        return identity


@dataclass(frozen=True, slots=True)
class Journey:
    """The posts of one person, in order; `person` is None for a visitor who never gives a name."""

    person: Person | None
    posts: tuple[Post, ...]


def journeys(seed: int, leads: int, now: datetime) -> list[Journey]:
    """The journeys of `leads` people and some anonymous visitors, ending shortly before `now`."""
    known = [Journey(person, tuple(_Diary(seed, person.number, now).of(person))) for person in people(seed, leads)]
    strangers = range(leads, leads + leads // VISITORS_PER_LEAD)
    return known + [Journey(None, tuple(_Diary(seed, number, now).of_stranger())) for number in strangers]


class _Diary:
    """Writes the posts of one person; its random choices depend on the seed and the person's number alone."""

    def __init__(self, seed: int, number: int, now: datetime) -> None:
        self._name = f"{seed}-{number:04d}"
        self._random = Random(f"journey/{seed}/{number}")  # noqa: S311 - repeatable play, no secret
        self._at = now - timedelta(days=self._random.randint(2, 20), minutes=self._random.randint(0, 600))
        self._now = now
        self._steps = 0
        self._visitor = f"v-{self._random.getrandbits(48):012x}"

    def of(self, person: Person) -> Iterator[Post]:
        yield from self._visits(2, 5)
        request = self._random.choices(list(_REQUESTS), list(_REQUESTS.values()))[0]
        self._at = self._now - timedelta(minutes=self._random.randint(2, 90))
        yield self._request(person, request, self._identity(person))
        if self._random.random() < 0.3:
            yield self._post(WEBSITE, "page.viewed", {"visitor_id": self._visitor}, context=self._page("/thanks"))
        if self._random.random() < SECOND_FORM:
            yield self._again(person)

    def of_stranger(self) -> Iterator[Post]:
        yield from self._visits(1, 4)

    def _visits(self, least: int, most: int) -> Iterator[Post]:
        arrival = self._random.choice(_ARRIVALS)
        cookie = {"visitor_id": self._visitor}
        if arrival and arrival["medium"] == "cpc":
            click = {"gclid": f"Cj0K{self._random.getrandbits(64):016x}"}
            yield self._post(ADS, "ad.clicked", cookie, context={"utm": arrival, "click_ids": click})
        for visit in range(self._random.randint(least, most)):
            page = self._page(self._random.choice(_PAGES))
            yield self._post(WEBSITE, "page.viewed", cookie, context=page | _utm(arrival if visit == 0 else None))
            self._at += timedelta(minutes=self._random.randint(1, 60 * 9))

    def _request(self, person: Person, type_: str, identity: Mapping[str, str], wave: int = 0) -> Post:
        company = person.company
        details: dict[str, str | int | None] = {
            "name": person.name,
            "name_kana": person.name_kana,
            "title": person.title,
            "department": person.department,
            "company": company.name,
            "employees": company.employees,
            "industry": company.industry,
            "country": company.country,
        }
        if type_ == "form.submitted":
            details["message"] = self._random.choice(_MESSAGES.get(company.country, _MESSAGES[""]))
        return self._post(
            WEBSITE,
            type_,
            identity,
            person={name: value for name, value in details.items() if value is not None},
            context=self._page(_FORMS[type_]),
            consent={"marketing": self._random.random() < 0.7},
            wave=wave,
        )

    def _identity(self, person: Person) -> dict[str, str]:
        identity = {"email": person.email, "visitor_id": self._visitor}
        if person.phone is not None:
            identity["phone"] = person.phone
        return identity

    def _again(self, person: Person) -> Post:
        """A second form: from another device, the address or the number written in another way."""
        self._at = min(self._now, self._at + timedelta(minutes=self._random.randint(1, 30)))
        identity = {"visitor_id": f"{self._visitor}-phone"}
        if person.phone_again is not None and self._random.random() < 0.4:
            identity["phone"] = person.phone_again
        else:
            identity["email"] = self._random.choice((_shouted, _padded, _full_width))(person.email)
        return self._request(person, "form.submitted", identity, wave=1)

    def _page(self, path: str) -> dict[str, Any]:
        return {"page_url": f"https://www.example.com{path}"}

    def _post(self, source: str, type_: str, identity: Mapping[str, str], *, wave: int = 0, **members: Any) -> Post:
        self._steps += 1
        body = {
            "event_id": f"demo-{self._name}-{self._steps}",
            "type": type_,
            "occurred_at": self._at.isoformat(timespec="seconds"),
            "identity": dict(identity),
        }
        times = 2 if self._random.random() < REPEATED else 1
        return Post(source, body | members, times, wave)


def _utm(arrival: Mapping[str, str] | None) -> dict[str, Any]:
    return {"utm": arrival} if arrival else {}


def _shouted(email: str) -> str:
    return email.upper()


def _padded(email: str) -> str:
    local, _, domain = email.partition("@")
    return f" {local.title()}@{domain} "


def _full_width(email: str) -> str:
    """As a Japanese keyboard types it."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in email)

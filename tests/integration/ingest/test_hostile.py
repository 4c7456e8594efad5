"""Bytes that no honest client sends, to the running service: each gets its reason, none a 500, and it serves on."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard

from funnel.embedded.servers import Servers
from services.ingest.domain import limits
from tests.integration.ingest.apart import Apart, ingest_apart
from tests.integration.ingest.service import read
from tests.support.raw_http import Answered, RawClient, connected, request
from tests.unit.ingest.given import an_event, an_outcome

EVENTS, BATCH, OUTCOMES = "/v1/events", "/v1/events/batch", "/v1/outcomes"
BEACON, PIXEL, FORM = "/v1/beacon", "/v1/p.gif", "/v1/forms/contact"
JSON = {"Content-Type": "application/json"}
GOOD = json.dumps(an_event()).encode()
ANSWER_BYTES_MAX = 2 * limits.BODY_BYTES_MAX
"""An answer that outgrows its question by much would make us the amplifier of somebody's attack."""


@pytest.fixture(scope="module")
def ingest(servers: Servers, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with ingest_apart(servers, template_database, tmp_path_factory.mktemp("hostile")) as apart:
        yield apart


@dataclass(frozen=True)
class Attack:
    """A request and what it has to be answered with."""

    status: int
    reason: str
    target: str = EVENTS
    body: bytes = b""
    headers: Mapping[str, str | bytes] = field(default_factory=lambda: JSON)
    method: str = "POST"

    def __str__(self) -> str:
        what = self.body[:30] or next(iter(self.headers.items()), "")
        return f"{self.method} {self.target[:40]} {what!r}"

    @property
    def raw(self) -> bytes:
        return request(self.method, self.target, self.body, self.headers)


async def answer_to(ingest: Apart, raw: bytes) -> Answered:
    """The answer, after which the connection is either closed or as good as new."""
    async with connected(ingest.port) as client:
        await client.send(raw)
        answer = await client.answer()
        if answer.is_last:
            assert await client.closed()
        else:
            await is_alive(client)
        return answer


async def is_alive(client: RawClient) -> None:
    await client.send(request("GET", "/livez"))
    answer = await client.answer()
    assert (answer.status, answer.json) == (200, {"status": "alive"})


def embedded_in(place: bytes) -> list[tuple[str, bytes]]:
    """`place` as a value inside an event, through every way in that takes JSON."""
    event = b'{"type": "x", "identity": {"visitor_id": "v"}, "properties": {"a": %b}}' % place
    outcome = b'{"type": "contacted", "lead_id": "2b6a7f0e-1f59-5c0d-8a44-3a8f5b1c9d10", "x": %b}' % place
    return [
        (EVENTS, event),
        (BATCH, b'{"events": [%b]}' % event),
        (OUTCOMES, outcome),
        (OUTCOMES, b'{"outcomes": [%b]}' % outcome),
        (BEACON, event),
        (BEACON, b'{"events": [%b]}' % event),
    ]


NOT_JSON = [b"", b"{", b"nonsense", b"\xff", b'{"type": "a\0b"}', b"\xef\xbb\xbf{}", b"{}{}", b"NaN"]
UNSTORABLE = [b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b"1e999", b"-1e999", b"9" * 5000]
TOO_DEEP = [b"[" * 50 + b"]" * 50, b'{"a":' * 50 + b"1" + b"}" * 50, b"[" * 10_000, b'{"a":' * 10_000]
NDJSON = {"Content-Type": "application/x-ndjson"}
TEXT = {"Content-Type": "text/plain"}


def _reason(target: str) -> str:
    return "invalid-outcome" if target == OUTCOMES else "invalid-event"


BODIES = [
    *(Attack(400, "bad-json", target, body) for target in (EVENTS, BATCH, OUTCOMES, BEACON) for body in NOT_JSON),
    Attack(400, "bad-json", EVENTS, b'{"type": "x", "identity": {"visitor_id": "v"}, "a": "\xc3"}'),
    *(Attack(422, _reason(target), target, body) for value in UNSTORABLE for target, body in embedded_in(value)),
    *(Attack(422, "invalid-batch", target, deep) for target in (BATCH, OUTCOMES, BEACON) for deep in TOO_DEEP[2:]),
    *(Attack(422, "invalid-event", EVENTS, deep) for deep in TOO_DEEP[2:]),
    *(Attack(422, _reason(target), target, body) for value in TOO_DEEP[:2] for target, body in embedded_in(value)),
    *(Attack(422, "invalid-event", EVENTS, body) for body in (b"[]", b"null", b'"x"', b"1", b"{}", b"[{}]")),
    *(Attack(422, "invalid-batch", BATCH, body) for body in (b"[]", b"null", b'"x"', b"{}", b'{"events": 1}')),
    Attack(422, "invalid-batch", BATCH, b'{"events": []}'),
    Attack(422, "invalid-event", BATCH, b"\n".join([b"{"] * 900), NDJSON),
    Attack(413, "too-large", BATCH, b"\n" + b"{}\n" * 1001, NDJSON),
    Attack(413, "too-large", BATCH, b'{"events": [%b]}' % b",".join([b"1"] * 1001)),
    Attack(413, "too-large", BATCH, b'{"events": [%b]}' % b",".join([b"1"] * 500_000)),
    Attack(413, "too-large", EVENTS, b" " * (limits.EVENT_BYTES_MAX + 1)),
    Attack(413, "too-large", BEACON, b" " * (limits.EVENT_BYTES_MAX + 1), TEXT),
    Attack(413, "too-large", BATCH, b" " * (limits.BODY_BYTES_MAX + 1)),
    Attack(413, "too-large", OUTCOMES, b" " * 20_000_000),
    Attack(
        422, "invalid-event", BATCH, b'{"events": [{%b}]}' % b",".join(b'"%x":1' % number for number in range(100_000))
    ),
    Attack(
        422, "invalid-event", EVENTS, json.dumps(an_event(properties=dict.fromkeys(map(str, range(5000)), 1))).encode()
    ),
    Attack(422, "invalid-event", BATCH, b'{"events": [[%b]]}' % b",".join([b'"\\ud800"'] * 100_000)),
    Attack(422, "invalid-event", BATCH, b'{"events": [{"identity": [%b]}]}' % b",".join([b"{}"] * 20_000)),
    Attack(422, "invalid-event", EVENTS, json.dumps(an_event(occurred_at="2" * 60_000)).encode()),
    Attack(422, "invalid-event", EVENTS, json.dumps({"type": "x", "identity": {"email": "a@" * 30_000}}).encode()),
]


def gzip_bomb() -> bytes:
    """64 MiB of spaces in 64 KiB."""
    return gzip.compress(b" " * 2**26, mtime=0)


def zstd_bomb() -> bytes:
    """1 GiB of spaces in 32 KiB, with nothing said of its size."""
    return (
        b"\x28\xb5\x2f\xfd\x00\x50"
        + (2**17 << 3 | 1 << 1).to_bytes(3, "little") * 0
        + (((2**17 << 3 | 1 << 1).to_bytes(3, "little") + b" ") * 2**13)
    )


ENCODED = [
    *(
        Attack(413, "too-large", target, bomb, {**JSON, "Content-Encoding": encoding})
        for target in (EVENTS, BATCH, OUTCOMES, BEACON, FORM)
        for encoding, bomb in (("gzip", gzip_bomb()), ("zstd", zstd_bomb()))
    ),
    *(
        Attack(400, "bad-encoding", EVENTS, body, {**JSON, "Content-Encoding": encoding})
        for encoding, body in (
            ("gzip", GOOD),
            ("gzip", gzip.compress(GOOD, mtime=0)[:-1]),
            ("gzip", gzip.compress(GOOD, mtime=0) + b"x"),
            ("gzip", gzip.compress(b"", mtime=0) * 2000),
            ("gzip", b""),
            ("zstd", GOOD),
            ("zstd", zstandard.compress(GOOD)[:-1]),
            ("zstd", zstandard.compress(GOOD) + b"x"),
        )
    ),
    *(
        Attack(415, "unsupported-encoding", EVENTS, zlib.compress(GOOD), {**JSON, "Content-Encoding": encoding})
        for encoding in ("deflate", "br", "gzip, gzip", "x" * 5000, "*")
    ),
]

HEADS = [
    *(
        Attack(422, "invalid-parameters", f"{EVENTS}?{query}", GOOD)
        for query in (
            *(
                "source=%00",
                "source=%ff",
                "source=a&source=b",
                "source=" + "a" * 1000,
                "mode=never",
                "mode=live&mode=live",
            ),
            *("&".join(["a=b"] * 100), "source=ingest", "source=%2e%2e%2f", "source=%F0%9F%92%A9"),
        )
    ),
    *(
        Attack(422, "invalid-parameters", EVENTS, GOOD, {**JSON, "Idempotency-Key": key})
        for key in ("", " ", "a b", "x" * 256, b"\xff", '"', '""', 'a"b')
    ),
    *(
        Attack(401, "unknown-key", EVENTS, GOOD, {**JSON, "Authorization": value})
        for value in ("Bearer", "Bearer ", "Bearer x", "bearer \t x", b"Bearer \xff\xfe", "Bearer " + "x" * 10_000)
    ),
    Attack(401, "unknown-key", f"{EVENTS}?key=" + "x" * 10_000, GOOD),
    Attack(401, "unknown-key", f"{EVENTS}?key=%ff%00%0d%0a", GOOD),
    Attack(401, "secret-key-in-url", f"{EVENTS}?key=fsk_x", GOOD),
    *(
        Attack(404, "not-found", target, GOOD)
        for target in (
            "/",
            "//",
            "/v1",
            "/v1/events//",
            "/v1/events%00",
            "/v1/%ff",
            "/V1/EVENTS",
            "/%2e%2e/v1/events",
            "*",
        )
    ),
    *(
        Attack(405, "method-not-allowed", target, b"", {}, method)
        for target in (EVENTS, BATCH, OUTCOMES, BEACON, PIXEL, FORM)
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND")
    ),
    *(Attack(405, "method-not-allowed", target, b"", {}, "GET") for target in (EVENTS, BATCH, OUTCOMES, BEACON, FORM)),
    Attack(405, "method-not-allowed", PIXEL, b"x"),
    Attack(414, "url-too-long", f"{PIXEL}?a=" + "x" * 20_000, method="GET"),
    Attack(431, "head-too-large", EVENTS, GOOD, {"Cookie": "x" * 40_000}),
    Attack(431, "head-too-large", EVENTS, GOOD, {f"X-{number}": "x" for number in range(101)}),
    Attack(400, "bad-http", EVENTS, b"0\r\n\r\n", {"Transfer-Encoding": "chunked", "Content-Length": "5"}),
    Attack(400, "bad-http", EVENTS, b"5\r\nabc\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}),
    Attack(400, "bad-http", EVENTS, b"-5\r\n", {"Transfer-Encoding": "chunked"}),
    Attack(400, "bad-http", EVENTS, GOOD, {"Content-Length": "-1"}),
    Attack(400, "bad-http", EVENTS, GOOD, {"Content-Length": "9" * 40}),
    Attack(400, "bad-http", "/v1/events\0", GOOD),
    Attack(400, "bad-http", "/v1/events\xff", GOOD),
    Attack(400, "bad-http", EVENTS, GOOD, {"X": b"a\0b"}),
]

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\njane@example.com\r\n'
FORMS = [
    *(
        Attack(415, "unsupported-media-type", FORM, b"email=jane@example.com", {"Content-Type": kind})
        for kind in ("text/html", "image/png", "application/xml", "nonsense", "a/b; boundary=c", b"\xff/\xfe")
    ),
    *(Attack(400, "bad-json", FORM, body) for body in (b"{", b"\xff", b"nonsense", b'{"a": "\xc3"', b"{}{}")),
    *(
        Attack(400, "bad-form", FORM, body, MULTIPART)
        for body in (b"x", b"--b", PART, PART + b"--b", b"--b\r\nX\r\n\r\n--b--\r\n", b"\0" * 1000)
    ),
    Attack(422, "invalid-event", FORM, b"--b--" * 10_000, MULTIPART),
    Attack(400, "bad-form", FORM, PART + b"--b--\r\n", {"Content-Type": "multipart/form-data"}),
    Attack(413, "too-large", FORM, b"&".join(b"f%x=x" % number for number in range(100_000)), URLENCODED),
    Attack(413, "too-large", FORM, PART * 10_000 + b"--b--\r\n", MULTIPART),
    Attack(413, "too-large", FORM, b'{"a": [%b]}' % b",".join([b'"x"'] * 100_000)),
    Attack(413, "too-large", FORM, b"a=" + b"%41" * 300_000, URLENCODED),
    Attack(413, "too-large", FORM, b"x" * (2 * 2**20), URLENCODED),
    Attack(422, "invalid-event", FORM, b"[" * 50_000),
    Attack(422, "invalid-event", FORM, b'{"fields": [1]}'),
    Attack(422, "invalid-event", FORM, b"", URLENCODED),
    Attack(422, "invalid-event", FORM, b"=" * 1000, URLENCODED),
    Attack(422, "invalid-event", FORM, b"x" * 300 + b"=1&email=jane@example.com", URLENCODED),
    *(
        Attack(422, "invalid-parameters", f"/v1/forms/{name}", b"email=jane@example.com", URLENCODED)
        for name in ("%00", "%ff", "a%20b", "-a", "a" * 101, "%2e%2e", "a%0d%0aX:1")
    ),
    Attack(404, "not-found", "/v1/forms/", b"email=jane@example.com", URLENCODED),
    Attack(404, "not-found", "/v1/forms/a%2fb", b"email=jane@example.com", URLENCODED),
]


@pytest.mark.parametrize("attack", [*BODIES, *ENCODED, *HEADS, *FORMS], ids=str)
async def test_an_attack_is_refused_with_its_reason(attack: Attack, ingest: Apart) -> None:
    before = ingest.complaints()
    answer = await answer_to(ingest, attack.raw)
    assert (answer.status, answer.problem) == (attack.status, attack.reason)
    assert len(answer.body) < ANSWER_BYTES_MAX
    assert ingest.is_running
    assert ingest.complaints() == before


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "x", "identity": {"visitor_id": "v"}, "type": "y"}',
        b'{"type": "x", "identity": {"visitor_id": "v"}, "properties": {"n": %b}}' % (b"9" * 300),
        b'{"type": "x", "identity": {"visitor_id": "v"}, "properties": {"n": -0.0, "m": 1e-400}}',
        b'{"type": "x", "identity": {"visitor_id": "v"}, "properties": {%b}}'
        % b",".join(b'"%x":1' % number for number in range(900)),
        b'  {"type": "x", "identity": {"visitor_id": "\\ud83d\\ude00"}}\r\n\t',
    ],
)
async def test_what_is_only_odd_is_stored(body: bytes, ingest: Apart) -> None:
    answer = await answer_to(ingest, request("POST", EVENTS, body, JSON))
    assert answer.status == 202, answer


@pytest.mark.parametrize("target", [EVENTS, BATCH, OUTCOMES, BEACON, FORM])
async def test_head_is_refused_without_a_body(target: str, ingest: Apart) -> None:
    async with connected(ingest.port) as client:
        await client.send(request("HEAD", target))
        assert (await client.answer(to_head=True)).status == 405
        await is_alive(client)


@pytest.mark.parametrize(
    "query",
    ["", "%00", "%ff", "key=fsk_x", "key=nobody", "source=%00", "type=" + "x" * 5000, "&" * 5000, "visitor_id=%F0%9F"],
)
async def test_the_pixel_is_an_image_whatever_it_is_asked(query: str, ingest: Apart) -> None:
    answer = await answer_to(ingest, request("GET", f"{PIXEL}?{query}"))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("content_type", ["text/html", "nonsense", "", "application/json; charset=nonsense", b"\xff"])
async def test_json_is_json_whatever_it_is_called(content_type: str | bytes, ingest: Apart) -> None:
    answer = await answer_to(ingest, request("POST", EVENTS, GOOD, {"Content-Type": content_type}))
    assert answer.status == 202


@pytest.mark.parametrize(
    "origin",
    ["nonsense", "null", "https://" + "x" * 10_000, b"\xff\xfe", "https://a.example.com, https://b.example.com"],
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_an_odd_origin_is_never_repeated(origin: str | bytes, method: str, ingest: Apart) -> None:
    body = GOOD if method == "POST" else b""
    answer = await answer_to(ingest, request(method, EVENTS, body, {**JSON, "Origin": origin}))
    assert answer.status == (202 if method == "POST" else 204)
    assert "access-control-allow-origin" not in answer.headers


async def test_http_1_0_is_answered_and_hung_up_on(ingest: Apart) -> None:
    raw = b"POST /v1/events HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD)
    answer = await answer_to(ingest, raw)
    assert answer.status == 202
    assert answer.is_last


async def test_a_foreign_host_is_not_where_anybody_is_sent(ingest: Apart) -> None:
    for target in ("/v1/forms/contact/", "//www.example.com/%2f..", "/docs/", "/v1/events/"):
        answer = await answer_to(ingest, request("GET", target, b"", {"Host": "www.example.com"}))
        assert "www.example.com" not in answer.headers.get("location", ""), target


async def test_requests_sent_ahead_are_answered_in_their_order(ingest: Apart) -> None:
    sent: list[tuple[bytes, int]] = []
    for number in range(20):
        sent += [
            (request("POST", EVENTS, json.dumps(an_event(event_id=f"ahead-{number}")).encode(), JSON), 202),
            (request("POST", EVENTS, b"{", JSON), 400),
            (request("POST", OUTCOMES, json.dumps(an_outcome()).encode(), JSON), 202),
            (request("GET", PIXEL), 200),
        ]
    async with connected(ingest.port) as client:
        await client.send(b"".join(raw for raw, _ in sent))
        answers = [await client.answer() for _ in sent]
    assert [answer.status for answer in answers] == [status for _, status in sent]
    assert [answer.json["event_id"] for answer in answers[::4]] == [f"ahead-{number}" for number in range(20)]


async def test_an_accepted_event_is_told_so_before_the_garbage_behind_it_is_refused(ingest: Apart) -> None:
    async with connected(ingest.port) as client:
        await client.send(request("POST", EVENTS, GOOD, JSON) + b"GARBAGE\r\n\r\n")
        assert (await client.answer()).status == 202
        refusal = await client.answer()
        assert (refusal.problem, refusal.is_last) == ("bad-http", True)


async def test_an_offer_of_http_2_does_not_cost_the_body(ingest: Apart) -> None:
    """What Java's HttpClient sends first, in the pieces in which it sends it."""
    offer = {**JSON, "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    head = request("POST", EVENTS, b"", {**offer, "Content-Length": str(len(GOOD))})
    async with connected(ingest.port) as client:
        for _ in range(3):
            await client.send(head)
            await client.send(GOOD)
            assert (await client.answer()).status == 202


async def test_a_body_too_large_by_its_own_word_is_not_waited_for(ingest: Apart) -> None:
    async with connected(ingest.port) as client:
        await client.send(request("POST", EVENTS, b"", {**JSON, "Content-Length": str(2**63)}))
        assert (await client.answer()).problem == "too-large"


async def test_a_slow_head_and_a_slow_body_are_given_up(ingest: Apart) -> None:
    async with connected(ingest.port) as head, connected(ingest.port) as body, connected(ingest.port) as form:
        await head.send(b"POST /v1/events HTTP/1.1\r\nHos")
        await body.send(request("POST", EVENTS, GOOD, JSON)[:-1])
        await form.send(request("POST", FORM, b"email=jane@example.com", URLENCODED)[:-1])
        for client, reason in ((head, "slow-head"), (body, "slow-body"), (form, "slow-body")):
            answer = await client.answer()
            assert (answer.status, answer.problem) == (408, reason)


async def test_after_all_that_a_lead_is_still_taken_and_nothing_of_the_attacks_was_stored(
    ingest: Apart,
) -> None:
    attacks = [attack for attack in (*BODIES, *ENCODED) if attack.target != FORM]
    before = len(read(ingest.settings)) + len(read(ingest.settings, "lead-outcomes"))
    async with connected(ingest.port) as client:
        for attack in attacks:
            if len(attack.body) < 20_000:
                await client.send(attack.raw)
                answer = await client.answer()
                assert 400 <= answer.status < 500, attack
        await client.send(request("POST", EVENTS, GOOD, JSON))
        assert (await client.answer()).status == 202
    assert len(read(ingest.settings)) + len(read(ingest.settings, "lead-outcomes")) == before + 1


def test_the_attacks_cover_every_way_in() -> None:
    targets: set[Any] = {attack.target.partition("?")[0] for attack in (*BODIES, *ENCODED, *HEADS, *FORMS)}
    assert {EVENTS, BATCH, OUTCOMES, BEACON, PIXEL, FORM} <= targets

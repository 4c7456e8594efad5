"""What people and clients entrust to ingest shows up nowhere but where it belongs, whatever goes wrong.

Everything that is sent says "kanaria" (金糸雀) somewhere. It may be in the records, and in the spool; it must not be in
the log, in /metrics or in any answer. Keys must be nowhere at all.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from funnel.embedded.kafka import KafkaServer
from funnel.embedded.ports import free_port
from funnel.embedded.servers import Servers
from funnel.settings import Settings
from tests.integration.ingest.apart import Apart, make_topics, started
from tests.integration.ingest.service import read
from tests.integration.ingest.sources_desk import switched_off
from tests.support.databases import new_database
from tests.support.mistreated import Mistreated
from tests.support.raw_http import Answered, connected, request
from tests.unit.ingest.given import LEAD_ID, an_event, an_outcome

EVENTS, BATCH, OUTCOMES = "/v1/events", "/v1/events/batch", "/v1/outcomes"
BEACON, PIXEL, FORM = "/v1/beacon", "/v1/p.gif", "/v1/forms/contact"
HUBSPOT = "/submissions/v3/integration/submit/123/contact"
JSON = {"Content-Type": "application/json"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
SHOWN = {"Accept": "text/html"}

EMAIL, PHONE, NAME = "kanaria@example.com", "+81 90 4711 2233", "金糸雀 kanaria"
PAGE = f"https://www.example.com/?email={EMAIL}"
PERSON: dict[str, Any] = {
    "identity": {"email": EMAIL, "phone": PHONE, "visitor_id": "kanaria", "external_ids": {"crm": "kanaria"}},
    "person": {"name": NAME, "company": "kanaria", "message": "kanaria", "title": "kanaria"},
    "context": {"page_url": PAGE, "referrer": PAGE, "utm": {"source": "kanaria"}, "click_ids": {"gclid": "kanaria"}},
    "properties": {"note": NAME},
    "consent": {"text": "kanaria"},
}
CANARIES = ("kanaria", "47112233", "4711 2233", "金糸雀", "\\u91d1", quote("金"), "6b616e61726961")
"""As sent, and as a log might have them: escaped for JSON or a URL, or in hexadecimal."""


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def good_items() -> list[tuple[str, bytes, dict[str, str]]]:
    """Path, body and headers of something to be taken, for every way in that has a body."""
    event, outcome = an_event(**PERSON), an_outcome(voice={"text": "kanaria"}, identity=PERSON["identity"])
    typed = f"email={EMAIL}&phone={quote(PHONE)}&name={quote(NAME)}"
    typed += "&message=kanaria&website_confirm_url=kanaria&_token=kanaria"
    part = b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\nkanaria@example.com\r\n--b--\r\n'
    fields = [{"name": "email", "value": EMAIL}, {"name": "lastname", "value": NAME}]
    return [
        (EVENTS, as_json(event), JSON),
        (BATCH, as_json({"events": [event, {"kanaria": 1}, an_event(occurred_at="kanaria")]}), JSON),
        (BATCH, as_json(event) + b"\nkanaria\n", {"Content-Type": "application/x-ndjson"}),
        (BATCH, gzip.compress(as_json({"events": [event]})), {**JSON, "Content-Encoding": "gzip"}),
        (OUTCOMES, as_json(outcome), JSON),
        (BEACON, as_json(event), {"Content-Type": "text/plain"}),
        (FORM, typed.encode(), {**URLENCODED, "Referer": PAGE}),
        (FORM, typed.encode(), {**URLENCODED, **SHOWN}),
        (FORM, part, MULTIPART),
        (FORM, as_json({"email": EMAIL, "name": NAME}), JSON),
        (HUBSPOT, as_json({"fields": fields, "context": {"pageUri": PAGE, "hutk": "kanaria"}}), JSON),
    ]


def bad_items() -> list[tuple[str, bytes, dict[str, str]]]:
    """What has to be refused, each time with something in it that must not be repeated."""
    broken = b'{"identity": {"email": "kanaria@example.com"'
    unfit: list[Any] = [
        *("kanaria", ["kanaria"], {"type": {"x": "kanaria"}}, {"type": "kanaria", "identity": EMAIL}),
        *(an_event(occurred_at="kanaria"), an_event(sent_at="kanaria"), an_event(event_id="kanaria" * 100)),
        *(an_event(identity={"email": [EMAIL]}), an_event(identity={"phone": "kanaria"}), an_event(context="kanaria")),
        *(an_event(person={"employees": "kanaria"}), an_event(person={"country": ["kanaria"], "name": {"x": NAME}})),
        *(an_event(consent="kanaria"), an_event(consent={"email": "kanaria"}), an_event(consent={"at": "kanaria"})),
        *(an_event(properties={"note": "kanaria\0"}), an_event(properties={"note": "kanaria\ud800"})),
        *(
            an_event(properties="kanaria"),
            an_event(type="kanaria" * 100),
            an_event(identity={"visitor_id": "kanaria" * 50}),
        ),
    ]
    outcomes: list[Any] = [
        *({"type": "kanaria", "lead_id": LEAD_ID}, {"type": "won", "lead_id": "kanaria", "amount": "kanaria"}),
        an_outcome(type="won", amount={"value": "kanaria", "currency": "kanaria"}),
        an_outcome(epoch="kanaria", deal_id={"x": "kanaria"}, reason=["kanaria"]),
    ]
    return [
        *((path, broken, JSON) for path in (EVENTS, BATCH, OUTCOMES, BEACON, FORM, HUBSPOT)),
        *((path, b"kanaria\xff", JSON) for path in (EVENTS, BATCH, OUTCOMES, BEACON, FORM, HUBSPOT)),
        *((path, json.dumps(value).encode(), JSON) for value in unfit for path in (EVENTS, BEACON)),
        *((BATCH, json.dumps({"events": [value]}).encode(), JSON) for value in unfit),
        *((OUTCOMES, as_json(value), JSON) for value in outcomes),
        (OUTCOMES, as_json({"outcomes": outcomes}), JSON),
        (BATCH, as_json({"events": [an_event(event_id="1"), an_event(event_id="1", **PERSON)]}), JSON),
        (EVENTS, b"kanaria" * 20_000, JSON),
        (EVENTS, b"kanaria", {**JSON, "Content-Encoding": "gzip"}),
        (EVENTS, b"kanaria", {**JSON, "Content-Encoding": "kanaria"}),
        *((FORM, body, URLENCODED) for body in (b"message=kanaria", b"email=kanaria", b"phone=kanaria&email=")),
        *((FORM, b"kanaria" * 50, {"Content-Type": "text/plain", **more}) for more in ({}, SHOWN)),
        (FORM, b"kanaria", {"Content-Type": "kanaria/kanaria"}),
        (FORM, b"--b\r\nkanaria: kanaria\r\n\r\nkanaria", MULTIPART),
        (FORM, b"--kanaria\r\nkanaria\x00kanaria", MULTIPART),
        (FORM, b"kanaria" * 50 + b"=kanaria&email=kanaria@example.com", URLENCODED),
        (HUBSPOT, as_json({"fields": [{"name": {"kanaria": 1}, "value": EMAIL}]}), JSON),
        ("/v1/sources", as_json({"name": "kanaria@", "origins": ["kanaria"], "fields": {"kanaria": "kanaria"}}), JSON),
    ]


def odd_requests() -> list[bytes]:
    """Whatever is left: in the URL, in headers, and where HTTP ends."""
    event = as_json(an_event(**PERSON))
    return [
        request("GET", f"{PIXEL}?visitor_id=kanaria&email={EMAIL}&page_url={quote(PAGE)}"),
        request("GET", f"{PIXEL}?visitor_id=kanaria%00&source=kanaria@&key=kanaria"),
        request("GET", f"{FORM}/token?kanaria"),
        request("GET", f"/v1/kanaria?email={EMAIL}"),
        request("PUT", f"{EVENTS}?kanaria", event, JSON),
        request("KANARIA", EVENTS),
        *(
            request("POST", f"/v1/forms/{name}", b"email=" + EMAIL.encode(), URLENCODED)
            for name in (EMAIL, "%00kanaria")
        ),
        *(
            request("POST", f"{EVENTS}?{query}", event, JSON)
            for query in (
                "source=kanaria@",
                "mode=kanaria",
                "key=kanaria",
                "key=fsk_kanaria",
                "source=a&source=kanaria",
            )
        ),
        *(
            request("POST", EVENTS, event, {**JSON, name: value})
            for name, value in (
                *(
                    ("Authorization", "Bearer kanaria"),
                    ("Authorization", "Bearer fsk_kanaria"),
                    ("Authorization", "kanaria"),
                ),
                *(("Idempotency-Key", "kanaria kanaria"), ("Idempotency-Key", "kanaria" * 100), ("Cookie", "kanaria")),
                *(
                    ("Origin", "https://kanaria.example.com"),
                    ("Origin", "kanaria"),
                    ("Referer", PAGE),
                    ("Expect", "kanaria"),
                ),
                *(
                    ("traceparent", "kanaria"),
                    ("User-Agent", "kanaria"),
                    ("X-Forwarded-For", "kanaria"),
                    ("Host", "kanaria"),
                ),
            )
        ),
        request("OPTIONS", EVENTS, headers={"Origin": "https://kanaria.example.com"}),
        request("GET", "/v1/sources/kanaria", headers={"Authorization": "Bearer kanaria"}),
        request("DELETE", "/v1/sources/kanaria/keys/kanaria"),
        *(
            request("POST", EVENTS, b"x", {"kanaria" * 10: "kanaria", **more})
            for more in ({"Cookie": "kanaria" * 6000}, {})
        ),
        *(b"kanaria@example.com\r\n\r\n", b"GET /?kanaria\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nkanaria\r\n\r\n"),
        request("POST", EVENTS, b"7\r\nkanariakanaria", {**JSON, "Transfer-Encoding": "chunked"}),
        request("GET", "/?" + "kanaria" * 3000),
    ]


@dataclass
class Keys:
    write: str
    secret: str

    def leaks_in(self, text: str) -> list[str]:
        """The keys of which more is in `text` than the hint by which people recognise them."""
        return [key for key in (self.write, self.secret) if key[8:] in text or key.encode().hex()[16:] in text]


@dataclass
class Seen:
    """All that left the process, by the way it left."""

    keys: Keys
    answers: list[Answered] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    records: str = ""
    log: str = ""

    def refused(self) -> list[Answered]:
        return [answer for answer in self.answers if answer.status >= 400]


@pytest.fixture(scope="module")
def settings(
    servers: Servers, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Mistreated]]:
    """A broker and a database of these tests' own, to be taken away."""
    folder = tmp_path_factory.mktemp("leaks")
    server = KafkaServer(folder / "kafka", free_port())
    broker = Mistreated(server, folder / "kafka.log")
    with new_database(servers.postgres_dsn, "leaks", template_database) as dsn:
        asyncio.run(broker.start())
        try:
            settings = Settings(
                home=folder / "home",
                kafka_bootstrap=server.bootstrap,
                postgres_dsn=dsn,
                topic_prefix=f"t{secrets.token_hex(4)}.",
                ingest_port=free_port(),
                waive_replication=True,
                key_secret="kanaria-key-secret",
                admin_token="kanaria-admin-token",
            )
            make_topics(settings)
            yield settings, broker
        finally:
            broker.stop()


@pytest.fixture(scope="module")
def seen(settings: tuple[Settings, Mistreated], servers: Servers) -> Seen:
    """Everything is sent: while all is well, without Postgres, without Kafka, and without both."""
    told, broker = settings
    log_file = told.home.parent / "ingest.log"
    with started(told, log_file, LOG_LEVEL="DEBUG") as ingest:
        source = ingest.new_source("shop", turnstile=True, honeypot="website_confirm_url")
        seen = Seen(Keys(source["write_key"], source["secret_key"]))
        everything = [*_good(seen.keys), *(request("POST", *item) for item in bad_items()), *odd_requests()]
        asyncio.run(_send(ingest, everything, seen))
        seen.records = _records(told)
        with switched_off(servers.postgres_dsn, told.postgres_dsn):
            asyncio.run(_send(ingest, everything, seen))
        broker.kill()
        asyncio.run(_send(ingest, everything, seen))
        seen.tables = _tables(told.postgres_dsn)
        with switched_off(servers.postgres_dsn, told.postgres_dsn):
            asyncio.run(_send(ingest, everything, seen))
        ingest.process.send_signal(signal.SIGTERM)
        assert ingest.process.wait() == 0, ingest.log
        seen.log = ingest.log
    return seen


def _good(keys: Keys) -> list[bytes]:
    """What is taken: without a key, with each, in each place; and under an Idempotency-Key, again, and misused."""
    found: list[bytes] = []
    for path, body, headers in good_items():
        found.append(request("POST", path, body, headers))
        found += [
            request("POST", path, body, {**headers, "Authorization": f"Bearer {key}"})
            for key in (keys.write, keys.secret, keys.secret + "x", keys.secret[:-1])
        ]
        found += [request("POST", f"{path}?key={key}", body, headers) for key in (keys.write, keys.secret)]
        named = {**headers, "Idempotency-Key": f"kanaria{len(found)}"}
        found += [request("POST", path, body, named), request("POST", path, body, named)]
        found.append(request("POST", path, body + b" ", named))
    for key in (keys.write, keys.secret):
        found.append(request("GET", f"{PIXEL}?key={key}&visitor_id=kanaria"))
        found.append(request("POST", FORM, f"_key={key}&email={EMAIL}&_turnstile=kanaria".encode(), URLENCODED))
        found.append(request("POST", FORM, as_json({"_key": key, "email": EMAIL}), {**JSON, **SHOWN}))
    return found


async def _send(ingest: Apart, everything: list[bytes], seen: Seen) -> None:
    """Each on a connection of its own, many at once: without Kafka and Postgres each waits for both."""
    room = asyncio.Semaphore(100)

    async def send(raw: bytes) -> Answered:
        async with room, connected(ingest.port) as client:
            await client.send(raw)
            return await client.answer()

    seen.answers += await asyncio.gather(*map(send, everything))
    seen.metrics.append((await send(request("GET", "/metrics"))).body.decode())
    await send(request("GET", "/readyz"))


def _records(settings: Settings) -> str:
    found = [record for topic in ("lead-events", "lead-outcomes") for record in read(settings, topic)]
    return "\n".join(
        repr((record.key, dict(record.headers))) + (record.value or b"").decode("utf-8", "replace") for record in found
    )


def _tables(dsn: str) -> dict[str, str]:
    """Every row of every table of ingest, as text."""
    with psycopg.connect(dsn) as connection:
        names = [
            str(name)
            for (name,) in connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ingest'"
            )
        ]
        return {
            name: "\n".join(
                str(row)
                for (row,) in connection.execute(
                    sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier("ingest", name))
                )
            )
            for name in names
        }


def leaks_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary.lower() in text.lower()]


def test_everything_happened_that_these_tests_are_about(seen: Seen) -> None:
    statuses = {answer.status for answer in seen.answers}
    assert statuses >= {200, 202, 204, 400, 401, 403, 404, 405, 413, 414, 415, 422, 431, 503}
    assert 500 not in statuses
    assert leaks_in(seen.records)
    assert leaks_in(seen.tables["spool"])
    assert set(seen.tables) >= {"source", "source_key", "spool", "idempotency"}
    assert "kafka" in seen.log


def test_the_log_has_nothing_of_it(seen: Seen) -> None:
    assert [line for line in seen.log.splitlines() if leaks_in(line) or seen.keys.leaks_in(line)] == []


def test_the_metrics_have_nothing_of_it(seen: Seen) -> None:
    lines = [line for metrics in seen.metrics for line in metrics.splitlines()]
    assert lines
    assert [line for line in lines if leaks_in(line) or seen.keys.leaks_in(line)] == []


def test_no_answer_repeats_it(seen: Seen) -> None:
    assert seen.refused()
    told = [
        f"{answer.status} {dict(answer.headers)} {answer.body.decode('utf-8', 'replace')}" for answer in seen.answers
    ]
    assert [one for one in told if leaks_in(one) or seen.keys.leaks_in(one)] == []


def test_keys_stand_in_no_table_and_no_record(seen: Seen) -> None:
    assert [name for name, rows in seen.tables.items() if seen.keys.leaks_in(rows)] == []
    assert seen.keys.leaks_in(seen.records) == []


def test_of_people_only_the_spool_knows_and_only_until_kafka_is_back(seen: Seen) -> None:
    named_by_clients = {"idempotency"}  # the key is the client's to choose
    assert {name for name, rows in seen.tables.items() if leaks_in(rows)} == {"spool"} | named_by_clients


def test_beside_the_value_a_record_says_nothing_of_a_person(seen: Seen, settings: tuple[Settings, Mistreated]) -> None:
    outside = [line.partition("})")[0] for line in seen.records.splitlines()]
    assert outside
    assert [one for one in outside if leaks_in(one)] == []

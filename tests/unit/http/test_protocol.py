"""What is HTTP reaches the application unharmed, however it is cut; what is not is refused, once, with a reason."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from funnel.http import protocol
from tests.unit.http.connection import Connection, Seen, cut

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes, more: bytes = b"", target: bytes = b"/x") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (target, more, len(body), body)


def chunked(*chunks: bytes, more: bytes = b"", trailers: bytes = b"") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return CHUNKED + more + b"\r\n" + framed + b"0\r\n" + trailers + b"\r\n"


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("funnel_http_refused_total", {"reason": reason}) or 0.0


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    made = Connection()
    yield made
    made.end()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for name in ("HEAD_SECONDS_MAX", "BODY_SECONDS_MAX", "STUCK_SECONDS_MAX", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.01)


# --- what is HTTP ---

bodies = st.binary(max_size=200)
requests = st.one_of(
    st.builds(lambda body: (post(body), body), bodies),
    st.builds(lambda body: (post(body, H2C), body), bodies),
    st.builds(lambda body: (post(body, b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), body), bodies),
    st.builds(lambda chunks: (chunked(*chunks), b"".join(chunks)), st.lists(st.binary(min_size=1, max_size=50))),
    st.builds(lambda body: (chunked(body, more=H2C), body), st.binary(min_size=1, max_size=50)),
    st.builds(lambda body: (chunked(body, trailers=b"X: 1\r\n"), body), st.binary(min_size=1, max_size=50)),
    st.just((NEXT, b"")),
    st.just((NEXT.replace(b"Host", H2C + b"Host"), b"")),
)


@given(st.lists(requests, min_size=1, max_size=6), st.lists(st.integers(0, 5000), max_size=8))
def test_requests_come_through_whole_and_in_order_however_they_are_cut(
    sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    async def talk() -> None:
        connection = Connection()
        await connection.send(*cut(b"".join(raw for raw, _ in sent), cuts))
        assert [seen.body for seen in connection.seen if seen.whole] == [body for _, body in sent]
        assert [answer.body for answer in connection.answers()] == [body for _, body in sent]
        assert not connection.transport.ended
        connection.end()

    asyncio.run(talk())


async def test_an_offer_to_upgrade_is_declined_by_answering(connection: Connection) -> None:
    """As RFC 9110, 7.8 wants it. Java's HttpClient makes this offer with every post, chunked or not."""
    for offer in (post(b"1st", H2C), chunked(b"2nd", more=H2C), post(b"3rd"), post(b"4th", H2C)):
        await connection.send(offer)
    assert [answer.body for answer in connection.answers()] == [b"1st", b"2nd", b"3rd", b"4th"]
    assert all(name != b"upgrade" for seen in connection.seen for name, _ in seen.headers)
    assert (b"host", b"a") in connection.seen[0].headers


async def test_trailers_are_not_headers(connection: Connection) -> None:
    await connection.send(chunked(b"body", trailers=b"Authorization: Bearer x\r\nOrigin: https://example.com\r\n"))
    (seen,) = connection.seen
    assert seen.body == b"body"
    assert [name for name, _ in seen.headers] == [b"host", b"transfer-encoding"]


async def test_nothing_behind_connection_close_is_done(connection: Connection) -> None:
    await connection.send(post(b"last", b"Connection: close\r\n") + post(b"too late"))
    assert [seen.body for seen in connection.seen] == [b"last"]
    assert connection.transport.ended


async def test_empty_lines_before_a_request_are_overlooked(connection: Connection) -> None:
    await connection.send(b"\r\n", b"\r\n" + post(b"1"), b"\r\n", post(b"2"))
    assert connection.statuses() == [200, 200]


# --- what is not ---

SMUGGLED = [
    CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    *(HEAD + b"Content-Length: %b\r\n\r\nabc" % value for value in (b"+3", b"-3", b"0x3", b"3 4", b"", b"9" * 30)),
    HEAD + b"Content-Length : 3\r\n\r\nabc",
    *(
        HEAD + b"Transfer-Encoding: %b\r\n\r\n0\r\n\r\n" % value
        for value in (b"xchunked", b"gzip", b"identity", b"chunked, identity", b"\x0bchunked", b"\r\n chunked")
    ),
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    HEAD + b"X: \rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"X: a\r\n folded\r\n\r\n",
    HEAD + b"X: a\nContent-Length: 3\r\n\r\nabc",
    *(CHUNKED + b"\r\n%b\r\nabc\r\n0\r\n\r\n" % size for size in (b"-3", b"0x3", b"3 ", b" 3", b"zz", b"f" * 17, b"")),
    *(CHUNKED + b"\r\n" + body for body in (b"3\nabc\n0\n\n", b"2\r\nabc\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n")),
    CHUNKED + b"\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
    chunked(b"abc", trailers=b"Content-Length: 3\r\n"),
]
NOT_HTTP = [
    *(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0", b"\xff\xfe", b"hello\r\n\r\n", b"GET\r\n\r\n"),
    *(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"GET / SIP/2.0\r\n\r\n",
        b"BREW / HTTP/1.1\r\n\r\n",
    ),
    *(
        b"GET /a\0b HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
    ),
    *(b"GET / HTTP/1.1\nHost: a\n\n", HEAD + b"X: a\0b\r\n\r\n", HEAD + b"X\0: b\r\n\r\n", HEAD + b": b\r\n\r\n"),
    *(
        HEAD + b"no colon\r\n\r\n",
        HEAD + b"X: \x7f\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\nabc",
    ),
    *(b"CONNECT /a HTTP/1.1\r\n\r\nabc", b"GET http://a HTTP/1.1\r\n\r\n"),
]


@pytest.mark.parametrize("piece_size", [1, 7, 10_000])
@pytest.mark.parametrize("raw", [*SMUGGLED, *NOT_HTTP])
async def test_a_request_of_unclear_extent_is_refused_and_nothing_behind_it_is_read(
    raw: bytes, piece_size: int
) -> None:
    connection, before = Connection(), refused("bad-http")
    await connection.send(*cut(raw + NEXT, range(0, len(raw + NEXT), piece_size)))
    (answer,) = connection.answers()
    assert (answer.status, answer.problem()) == (400, "bad-http")
    assert connection.transport.ended
    assert not any(seen.whole for seen in connection.seen)
    assert refused("bad-http") == before + 1
    connection.end()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
@example(HEAD + b"X: \r\n\r\n" + b"\0", [])
def test_bytes_of_any_kind_are_answered_with_http_or_not_at_all(raw: bytes, cuts: list[int]) -> None:
    asyncio.run(_statuses_are(raw, cuts, {200, 400}))


@given(
    st.lists(st.sampled_from([*SMUGGLED, *NOT_HTTP, NEXT, post(b"x"), chunked(b"x"), post(b"x", H2C)]), max_size=4),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 2000), max_size=5),
)
def test_damaged_requests_are_seen_the_same_however_they_are_cut(
    sent: list[bytes], damages: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    raw = bytearray(b"".join(sent))
    for place, damage in damages:
        raw[place % (len(raw) + 1) :][: len(damage)] = damage
    whole = asyncio.run(_statuses_are(bytes(raw), [], {200, 400}))
    assert asyncio.run(_statuses_are(bytes(raw), cuts, {200, 400})) == whole


async def _statuses_are(raw: bytes, cuts: list[int], possible: set[int]) -> list[Seen]:
    connection = Connection()
    await connection.send(*cut(raw, cuts))
    assert set(connection.statuses()) <= possible
    connection.end()
    return [seen for seen in connection.seen if seen.whole]


async def test_an_accepted_request_is_answered_before_the_one_behind_it_is_refused(connection: Connection) -> None:
    """Otherwise the refusal would be taken for the answer to the first, which was stored."""
    connection.may_answer.clear()
    await connection.send(post(b"1") + post(b"2"), b"GARBAGE\r\n")
    assert connection.statuses() == []
    connection.may_answer.set()
    await connection.settle()
    *answers, refusal = connection.answers()
    assert [answer.body for answer in answers] == [b"1", b"2"]
    assert refusal.problem() == "bad-http"


async def test_a_broken_body_is_refused_in_its_turn(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(post(b"1"), CHUNKED + b"\r\nzz")
    connection.may_answer.set()
    await connection.settle()
    assert connection.statuses() == [200, 400]
    assert [seen.body for seen in connection.seen] == [b"1"]


async def test_a_refused_client_is_listened_to_no_more(connection: Connection) -> None:
    await connection.send(b"GARBAGE\r\n")
    connection.protocol.data_received(NEXT)
    await connection.settle()
    assert connection.statuses() == [400]
    assert connection.seen == []


@pytest.mark.parametrize("refusal", protocol.REFUSALS, ids=lambda refusal: refusal.reason)
def test_every_refusal_is_a_problem_that_names_its_limit(refusal: protocol.Refusal) -> None:
    head, _, body = refusal.head_and_body().partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert problem["type"] == f"urn:funnel:problem:{refusal.reason}"
    assert (problem["status"], problem["title"], problem["detail"]) == (refusal.status, refusal.title, refusal.detail)
    assert b"content-length: %d" % len(body) in head
    assert (b"retry-after" in head) is (refusal.status == 503)


def test_refusals_tell_nothing_of_what_was_sent_and_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(raw: bytes) -> None:
        connection = Connection()
        await connection.send(raw)
        assert b"jane" not in connection.transport.written
        connection.end()

    with caplog.at_level(logging.DEBUG, logger="uvicorn"):
        for raw in (b"jane@example.com\r\n\r\n", HEAD + b"jane\r\n\r\n", b"GET /jane\xff HTTP/1.1\r\n\r\n"):
            asyncio.run(talk(raw))
        asyncio.run(talk(b"GET /?email=jane@example.com" + b"x" * protocol.URL_BYTES_MAX + b" HTTP/1.1\r\n\r\n"))
        asyncio.run(talk(post(b"x", H2C)))
    assert caplog.records == []


# --- how large ---


def with_url(size: int) -> bytes:
    return b"GET /" + b"u" * (size - 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n"


def with_headers(number: int, size: int) -> bytes:
    each, more = divmod(size, number)
    lines = [b"%b:%b\r\n" % (b"n" * 10, b"v" * (each - 10 + (more if index == 0 else 0))) for index in range(number)]
    return b"GET / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n"


FITS = [
    with_url(protocol.URL_BYTES_MAX),
    with_headers(protocol.HEADERS_MAX, protocol.HEADER_BYTES_MAX),
    with_headers(1, protocol.HEADER_BYTES_MAX),
    post(b"x" * 500_000),
    chunked(*[b"x"] * 20_000),
]
TOO_LARGE = [
    (with_url(protocol.URL_BYTES_MAX + 1), 414, "url-too-long"),
    (with_headers(protocol.HEADERS_MAX + 1, 5_000), 431, "head-too-large"),
    (with_headers(protocol.HEADERS_MAX, protocol.HEADER_BYTES_MAX + 1), 431, "head-too-large"),
    (with_headers(1, 200_000), 431, "head-too-large"),
    (with_url(200_000), 414, "url-too-long"),
    (b"GET /" + b"u" * 100_000, 414, "url-too-long"),
    (b"GET / HTTP/1.1\r\nName: " + b"endless" * 20_000, 431, "head-too-large"),
    (b"GET / HTTP/1.1\r\n" + b"Name" * 20_000, 431, "head-too-large"),
    (CHUNKED + b"\r\n1;" + b"x" * 300_000, 400, "bad-http"),
    (CHUNKED + b"\r\n1\r\nx\r\n0\r\nTrailer: " + b"x" * 300_000, 400, "bad-http"),
    (CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + b"Trailer: x\r\n" * 30_000, 400, "bad-http"),
]


@pytest.mark.parametrize("raw", FITS)
@pytest.mark.parametrize("piece_size", [1000, 9000, 1_000_000])
async def test_what_fits_is_answered(raw: bytes, piece_size: int) -> None:
    connection = Connection()
    await connection.send(*cut(raw * 3, range(0, 3 * len(raw), piece_size)))
    assert connection.statuses() == [200, 200, 200]
    connection.end()


@pytest.mark.parametrize(("raw", "status", "reason"), TOO_LARGE)
@pytest.mark.parametrize("piece_size", [1000, 20_000, 85_000, 1_000_000])
@pytest.mark.parametrize("before", [b"", post(b"x" * 70_000)])
async def test_what_is_too_large_is_refused(
    raw: bytes, status: int, reason: str, piece_size: int, before: bytes
) -> None:
    connection = Connection()
    raw = before + raw
    await connection.send(*cut(raw, range(0, len(raw), piece_size)), b"x", b"x" * 300_000)
    *earlier, refusal = connection.answers()
    assert [answer.status for answer in earlier] == ([200] if before else [])
    assert (refusal.status, refusal.problem()) == (status, reason)
    connection.end()


async def test_requests_sent_ahead_of_their_answers_are_counted(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(NEXT * 10_000)
    connection.may_answer.set()
    while connection.protocol.pipeline:
        await connection.settle()
    await connection.settle()
    *answers, refusal = connection.answers()
    assert [answer.status for answer in answers] == [200] * (protocol.PIPELINED_MAX + 1)
    assert refusal.problem() == "too-many-pipelined"


@pytest.mark.parametrize(
    ("files", "most"), [(1024, 1024 - protocol.DESCRIPTORS_LEFT), (50, 1), (resource.RLIM_INFINITY, sys.maxsize)]
)
def test_connections_leave_files_for_kafka_and_postgres(files: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert protocol.connections_max() == most


async def test_connections_beyond_what_the_process_can_open_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "connections_max", lambda: 0)
    connection = Connection()
    await connection.send(NEXT)
    (answer,) = connection.answers()
    assert (answer.status, answer.problem()) == (503, "too-many-connections")
    assert answer.headers["retry-after"] == "1"
    assert connection.seen == []
    connection.end()


# --- how slow ---


@pytest.mark.parametrize("raw", [b"G", HEAD, HEAD + b"X: ", post(b"1") + b"G"])
@pytest.mark.usefixtures("hasty")
async def test_a_head_that_does_not_end_is_refused(connection: Connection, raw: bytes) -> None:
    await connection.send(raw)
    await connection.transport.has_ended.wait()
    refusal = connection.answers()[-1]
    assert (refusal.status, refusal.problem()) == (408, "slow-head")


@pytest.mark.parametrize("raw", [post(b"body")[:-1], CHUNKED + b"\r\n", CHUNKED + b"\r\n1\r\nx\r\n0\r\n"])
@pytest.mark.usefixtures("hasty")
async def test_a_body_that_does_not_end_is_refused_and_the_application_let_go(
    connection: Connection, raw: bytes
) -> None:
    await connection.send(raw)
    await connection.transport.has_ended.wait()
    (refusal,) = connection.answers()
    assert (refusal.status, refusal.problem()) == (408, "slow-body")
    await connection.settle()
    assert [seen.whole for seen in connection.seen] == [False]
    assert not connection.server_state.tasks


@pytest.mark.usefixtures("hasty")
async def test_trickling_does_not_prolong_a_deadline(connection: Connection) -> None:
    while not connection.transport.ended:
        await connection.send(b"GET /" if connection.protocol.url == b"" else b"u")
        await asyncio.sleep(0.001)
    assert connection.answers()[-1].problem() == "slow-head"


@pytest.mark.parametrize("raw", [b"", b"\r\n", post(b"1") + b"\r\n"])
@pytest.mark.usefixtures("hasty")
async def test_a_client_that_asks_nothing_is_hung_up_on_without_a_word(connection: Connection, raw: bytes) -> None:
    """An answer to nothing would be taken for the answer to what the client is about to ask."""
    before = len(post(b"1")) < len(raw)
    if raw:
        await connection.send(*cut(raw, [len(post(b"1"))]))
    await connection.transport.has_ended.wait()
    assert connection.statuses() == ([200] if before else [])


@pytest.mark.usefixtures("hasty")
async def test_a_slow_application_is_not_the_clients_fault(connection: Connection) -> None:
    connection.may_answer.clear()
    await connection.send(post(b"1"), post(b"2"), post(b"x" * 70_000)[:-1])
    await asyncio.sleep(0.05)
    assert connection.statuses() == []
    assert not connection.transport.ended
    connection.may_answer.set()
    await connection.transport.has_ended.wait()
    assert connection.statuses() == [200, 200, 408]


@pytest.mark.usefixtures("hasty")
async def test_a_client_that_leaves_its_answers_unread_is_cut_off(connection: Connection) -> None:
    before = refused("slow-reader")
    await connection.send(NEXT)
    connection.protocol.pause_writing()
    await connection.transport.has_ended.wait()
    assert refused("slow-reader") == before + 1


@pytest.mark.usefixtures("hasty")
async def test_a_client_that_reads_again_is_not_cut_off(connection: Connection) -> None:
    connection.protocol.pause_writing()
    connection.protocol.resume_writing()
    await connection.send(NEXT)
    await asyncio.sleep(0.05)
    assert not connection.transport.ended

"""Turnstile asked over real HTTP: it tells people from programs, and fails open."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from funnel.embedded.ports import free_port
from services.ingest.turnstile import Turnstile, Verdict
from tests.integration.ingest.siteverify import REFUSED, SiteVerify, siteverify


@pytest.fixture
async def stand_in() -> AsyncIterator[SiteVerify]:
    async with siteverify() as started:
        yield started


@pytest.fixture
async def turnstile(stand_in: SiteVerify) -> AsyncIterator[Turnstile]:
    asking = Turnstile("a secret", url=stand_in.url, seconds_max=0.5)
    yield asking
    await asking.close()


async def test_a_person_is_a_person(turnstile: Turnstile, stand_in: SiteVerify) -> None:
    assert await turnstile.verify("a response", "e-1") is Verdict.PERSON
    (asked,) = stand_in.asked
    assert (asked["secret"], asked["response"]) == ("a secret", "a response")
    assert set(asked) == {"secret", "response", "idempotency_key"}


async def test_the_same_form_again_is_the_same_question(turnstile: Turnstile, stand_in: SiteVerify) -> None:
    """Else siteverify calls the response of a retried form spent."""
    for event_id, response in (("e-1", "r"), ("e-1", "r"), ("e-2", "r"), ("e-1", "s")):
        await turnstile.verify(response, event_id)
    first, again, other_event, other_response = (asked["idempotency_key"] for asked in stand_in.asked)
    assert first == again
    assert len({first, other_event, other_response}) == 3


async def test_what_siteverify_turns_down_is_no_person(turnstile: Turnstile, stand_in: SiteVerify) -> None:
    stand_in.answer = REFUSED
    assert await turnstile.verify("a response", "e-1") is Verdict.NO_PERSON


@pytest.mark.parametrize("response", [None, "x" * 2049])
async def test_a_response_that_can_be_none_is_not_asked_about(
    turnstile: Turnstile, stand_in: SiteVerify, response: str | None
) -> None:
    assert await turnstile.verify(response, "e-1") is Verdict.NO_PERSON
    assert stand_in.asked == []


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, b"oops"),
        (503, REFUSED),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b"\xff"),
        (200, b'{"success": "yes"}'),
        (200, b'{"success": false, "error-codes": ["invalid-input-secret"]}'),
        (200, b'{"success": false, "error-codes": ["internal-error", 5]}'),
        (302, b""),
    ],
)
async def test_trouble_there_is_no_verdict(
    turnstile: Turnstile, stand_in: SiteVerify, status: int, answer: bytes
) -> None:
    stand_in.status, stand_in.answer = status, answer
    assert await turnstile.verify("a response", "e-1") is Verdict.UNAVAILABLE


async def test_silence_is_no_verdict(turnstile: Turnstile, stand_in: SiteVerify) -> None:
    stand_in.is_silent = True
    assert await turnstile.verify("a response", "e-1") is Verdict.UNAVAILABLE


async def test_nobody_there_is_no_verdict() -> None:
    asking = Turnstile("a secret", url=f"http://127.0.0.1:{free_port()}/")
    assert await asking.verify("a response", "e-1") is Verdict.UNAVAILABLE
    await asking.close()


async def test_without_a_secret_nobody_is_suspected() -> None:
    asking = Turnstile("")
    assert await asking.verify(None, "e-1") is Verdict.UNAVAILABLE
    await asking.close()

"""Forms: posted by a browser with or without JavaScript, by a script, or in HubSpot's shape."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from funnel import telemetry
from funnel.clock import Clock
from funnel.http import PROBLEM_MEDIA_TYPE, Api, FieldError, HttpProblem
from funnel.ids import new_event_id
from services.ingest import openapi
from services.ingest.desk import errors_of, not_stored, taken
from services.ingest.domain.acceptance import Why
from services.ingest.domain.access import Caller, Use
from services.ingest.domain.batch import Result, Status
from services.ingest.domain.decoding import NotJson
from services.ingest.domain.fields import Fault, Unfit
from services.ingest.domain.forms import bounds, event, pages, spam
from services.ingest.domain.forms.names import is_token
from services.ingest.domain.forms.reading import NotAForm, TooMuch, UnknownMediaType, read
from services.ingest.domain.forms.redirects import location
from services.ingest.domain.forms.submission import Submission
from services.ingest.domain.kinds import EVENT
from services.ingest.endpoint import Doors, Endpoint, Way, content_of
from services.ingest.gate import Gate
from services.ingest.handlers import Intake, ids_of
from services.ingest.turnstile import Turnstile, Verdict
from services.ingest.wire import Answer, Ask

FORM: Final = Way("/v1/forms/{form}", Use.FORM, bounds.FORM_BYTES_MAX)
TOKEN: Final = Way("/v1/forms/{form}/token", Use.FORM, 0, method="GET")
HUBSPOT: Final = (
    Way("/submissions/v3/integration/submit/{portal}/{form}", Use.FORM, bounds.FORM_BYTES_MAX),
    Way("/submissions/v3/integration/secure/submit/{portal}/{form}", Use.FORM, bounds.FORM_BYTES_MAX),
)

_NO_KEY: Final = b"nobody's secret"
"""Signs tokens where no secret is configured. They are not judged then, but still tell a double click."""

_NEVER_STORED: Final = {b"cache-control": b"no-store"}
_HTML: Final = b"text/html"


def add_endpoints(
    app: Api, doors: Doors, intake: Intake, turnstile: Turnstile, clock: Clock, *, token_key: bytes | None
) -> None:
    """Give `app` the forms. `token_key` (`spam.token_key`) is None where no secret is configured."""
    desk = FormDesk(intake, doors.gate, turnstile, clock, token_key=token_key)
    operations = openapi.form_operations()
    for way in (FORM, *HUBSPOT):
        app.add_hot_path(way.path, OnPages(Endpoint(way, doors, desk.take, content=_content)), operations[way.path])
    app.add_hot_path(TOKEN.path, Endpoint(TOKEN, doors, desk.token), operations[TOKEN.path])


class FormDesk:
    """Makes an event of each form, and an answer that its sender understands."""

    def __init__(
        self, intake: Intake, gate: Gate, turnstile: Turnstile, clock: Clock, *, token_key: bytes | None
    ) -> None:
        self._intake = intake
        self._gate = gate
        self._turnstile = turnstile
        self._clock = clock
        self._token_key = token_key

    async def token(self, ask: Ask, _: Caller) -> Answer:
        """A render token for the hidden field `_token`. Raises HttpProblem."""
        key = self._token_key or _NO_KEY
        signed = spam.token(key, _form_name(ask), self._clock.now(), secrets.token_bytes(spam.NONCE_BYTES))
        return Answer(200, msgspec.json.encode({"token": signed}), _NEVER_STORED)

    async def take(self, ask: Ask, caller: Caller) -> Answer:
        """The answer to a form. A suspect's is the same as everybody's. Raises HttpProblem."""
        form, submission = _form_name(ask), _read(ask)
        caller = self._as_its_key_says(submission, ask, caller)
        self._gate.spend(caller, 1)
        event_id = _event_id(submission, form, ask, caller)
        suspect = self._signs(submission, form, caller)
        verdict = await self._judged_by_turnstile(submission, event_id, caller)
        if verdict is Verdict.NO_PERSON:
            suspect.append(spam.TURNSTILE)
        arrival = event.Arrival(
            form,
            own_fields=caller.source.fields,
            honeypot=caller.source.honeypot,
            referer=_referer(ask),
            portal=ask.path_parameters.get("portal"),
            notes={"turnstile": verdict.value} if verdict is Verdict.UNAVAILABLE else None,
        )
        made = event.event_of(submission, arrival)
        if faults := event.nobody(made):
            raise _invalid(faults)
        (result,) = await self._intake.take(
            EVENT,
            [msgspec.json.encode(made)],
            caller,
            id_of=lambda _: event_id,
            suspect=suspect,
            traceparent=ask.traceparent,
            bytes_max=bounds.EVENT_BYTES_MAX,
        )
        if result.status is Status.ACCEPTED:
            for reason in suspect:
                telemetry.INGEST_SUSPECTS.labels(reason).inc()
        return _answer(result, submission, ask, caller)

    def _as_its_key_says(self, submission: Submission, ask: Ask, caller: Caller) -> Caller:
        """The caller by the write key in the form itself: a form without JavaScript has no header to put it in."""
        key = submission.text(event.KEY_FIELD)
        if key is None or caller.key_kind is not None:
            return caller
        return self._gate.admit(Use.FORM, replace(ask.parameters, key=key), ask.authorization, ask.origin)

    def _signs(self, submission: Submission, form: str, caller: Caller) -> list[str]:
        source = caller.source
        found = spam.signs(
            submission,
            form=form,
            honeypot=source.honeypot,
            key=self._token_key,
            now=self._clock.now(),
            min_fill_seconds=source.min_fill_seconds,
        )
        return [*found, *caller.doubts]

    async def _judged_by_turnstile(self, submission: Submission, event_id: str, caller: Caller) -> Verdict:
        if not caller.source.turnstile:
            return Verdict.PERSON
        verdict = await self._turnstile.verify(submission.text(event.TURNSTILE_FIELD), event_id)
        telemetry.INGEST_TURNSTILE.labels(verdict.value).inc()
        return verdict


class OnPages:
    """Around an endpoint: what it refuses is shown on a page to those whose browser shows them the answer."""

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if not _is_shown(headers):
            await self._endpoint(scope, receive, send)
            return
        started: Message | None = None

        async def on_a_page(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start" and _is_problem(message):
                started = message
            elif started is not None:
                page = _refusal_page(message["body"], headers)
                await send({**started, "headers": _headers_of_page(started, page)})
                await send({"type": "http.response.body", "body": page})
            else:
                await send(message)

        await self._endpoint(scope, receive, on_a_page)


def _is_problem(start: Message) -> bool:
    return (b"content-type", PROBLEM_MEDIA_TYPE.encode()) in start["headers"]


def _headers_of_page(start: Message, page: bytes) -> list[tuple[bytes, bytes]]:
    replaced = (b"content-type", b"content-length")
    return [
        *(pair for pair in start["headers"] if pair[0] not in replaced),
        *pages.HEADERS.items(),
        (b"content-type", pages.MEDIA_TYPE),
        (b"content-length", b"%d" % len(page)),
    ]


def _refusal_page(body: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    problem: dict[str, Any] = msgspec.json.decode(body)
    slug = str(problem["type"]).rpartition(":")[2]
    pointers = [error.get("pointer", "") for error in problem.get("errors", ())]
    return pages.refusal(_language(headers), slug, pointers)


def _read(ask: Ask) -> Submission:
    """The submission in the body. Raises HttpProblem."""
    try:
        return read(ask.body, ask.content_type)
    except NotJson as found:
        raise HttpProblem(400, "bad-json", "Not JSON", f"The body {found}.") from None
    except NotAForm as found:
        raise HttpProblem(400, "bad-form", "Not a form", f"The body {found}.") from None
    except TooMuch as found:
        raise HttpProblem(413, "too-large", "Too large", str(found)) from None
    except UnknownMediaType:
        detail = "A form is application/x-www-form-urlencoded, multipart/form-data or application/json."
        raise HttpProblem(415, "unsupported-media-type", "Unsupported media type", detail) from None
    except Unfit as found:
        raise _invalid(found.faults) from None


def _content(ask: Ask) -> bytes:
    """What was typed: the same form packed again has another boundary between its fields and another token."""
    try:
        submission = _read(ask)
    except HttpProblem:
        return content_of(ask)
    return msgspec.json.encode([one for one in submission.fields if not is_token(one.name)])


def _form_name(ask: Ask) -> str:
    name = ask.path_parameters["form"]
    if event.FORM_NAME.fullmatch(name) is None:
        detail = "must be 1 to 100 letters, digits, dots, dashes or underscores, the first a letter or a digit"
        errors: list[FieldError] = [{"parameter": "form", "detail": detail}]
        raise HttpProblem(422, "invalid-parameters", "Invalid parameters", f"In the URL: form {detail}.", errors=errors)
    return name


def _event_id(submission: Submission, form: str, ask: Ask, caller: Caller) -> str:
    """The id of an event whose form names none: the same when the same form is sent again, as far as that can be told.

    Two different submissions under one Idempotency-Key are the endpoint's to refuse.
    """
    if ask.idempotency_key is not None:
        return ids_of(caller.source.name, f"/v1/forms/{form}", ask.idempotency_key)(0)
    return event.id_of_a_double_click(submission, form) or new_event_id()


def _answer(result: Result, submission: Submission, ask: Ask, caller: Caller) -> Answer:
    if result.status is Status.RETRY:
        return not_stored({"event_id": result.event_id}, "Send it again.")
    if result.status is Status.INVALID:
        raise _refused(result)
    wanted = submission.text(event.REDIRECT_FIELD)
    page = _referer(ask) or caller.origin
    target = location(wanted, page, caller.source) if wanted is not None else None
    if _is_shown(ask.headers):
        if target is not None:
            return Answer(303, b"", {b"location": target.encode("ascii"), **_NEVER_STORED})
        return Answer(202, pages.thanks(_language(ask.headers)), pages.HEADERS, pages.MEDIA_TYPE)
    if submission.hubspot is not None or "portal" in ask.path_parameters:
        message = {"inlineMessage": pages.thanks_in_a_line(_language(ask.headers))}
        return Answer(200, msgspec.json.encode(message if target is None else {"redirectUri": target}))
    return Answer(202, taken(result))


def _refused(result: Result) -> HttpProblem:
    if result.why is Why.TOO_LARGE:
        detail = "What was typed into the form is too long to be stored."
        return HttpProblem(413, "too-large", "Too large", detail)
    return _invalid(result.faults)


def _invalid(faults: Sequence[Fault]) -> HttpProblem:
    sentence = "; ".join(f"{fault.pointer or 'the form'} {fault.detail}" for fault in faults)
    return HttpProblem(422, "invalid-event", "Invalid form", f"{sentence}.", errors=errors_of(faults))


def _is_shown(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser shows the answer to a person, instead of handing it to a script."""
    return _HTML in headers.get(b"accept", b"").lower()


def _language(headers: Mapping[bytes, bytes]) -> str:
    return pages.language_of(headers.get(b"accept-language", b"").decode("latin-1"))


def _referer(ask: Ask) -> str | None:
    """The page the form stands on, as far as the browser tells."""
    referer = ask.headers.get(b"referer", b"").decode("utf-8", "replace")
    return referer if referer.startswith(("http://", "https://")) else None

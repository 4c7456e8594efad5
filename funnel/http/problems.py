"""RFC 9457 problem answers: the only form in which any service says no.

`type` is `urn:funnel:problem:<slug>`: a name clients may compare, the same on every host and in each version.
Answers name the field that is wrong, never its value (it may be personal data), and never hold a stack trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

PROBLEM_MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:funnel:problem:"

_FRAMEWORK_PROBLEMS = {
    400: ("bad-request", "Bad request"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    413: ("too-large", "Too large"),
    415: ("unsupported-media-type", "Unsupported media type"),
}
"""Slug and title of what FastAPI refuses; written out, as the standard phrases vary between Pythons."""

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": f"`{_TYPE_PREFIX}<slug>`; stable, safe to compare."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the request body."},
                    "parameter": {"type": "string", "description": "Name in the URL or headers."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class FieldError(TypedDict, total=False):
    """What is wrong with one field: `pointer` into the body, or `parameter` of the URL or headers."""

    pointer: str
    parameter: str
    detail: str


class HttpProblem(Exception):
    """Raised by an endpoint to answer with a problem; the handler installed by `create_app` does the rest."""

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem_type(slug: str) -> str:
    """The stable `type` of the problems named `slug`."""
    return _TYPE_PREFIX + slug


def problem_body(
    status: int,
    slug: str,
    title: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
) -> bytes:
    """The JSON bytes of a problem, for endpoints that speak ASGI themselves; `members` are further members."""
    body: dict[str, Any] = {"type": problem_type(slug), "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = list(errors)
    if members:
        body |= members
    return msgspec.json.encode(body)


def problem(
    status: int,
    slug: str,
    title: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem+json response; `errors` names the fields that are wrong."""
    return Response(
        problem_body(status, slug, title, detail, errors=errors),
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=dict(headers) if headers else None,
    )


def internal_error() -> Response:
    """The answer to a bug. The server logs the exception; the answer says nothing of its insides."""
    return problem(500, "internal-error", "Internal error", "The service failed to answer; its log says why.")


def install(app: FastAPI) -> None:
    """Replace FastAPI's and Starlette's own error answers (404, 405, 413, 422, 500 ...) by problems."""
    app.exception_handlers |= {
        HttpProblem: _on_problem,
        HTTPException: _on_http_exception,
        RequestValidationError: _on_invalid_request,
        Exception: _on_bug,
    }


async def _on_problem(_: Request, error: HttpProblem) -> Response:
    return problem(error.status, error.slug, error.title, error.detail, errors=error.errors, headers=error.headers)


async def _on_http_exception(_: Request, error: HTTPException) -> Response:
    slug, title = _FRAMEWORK_PROBLEMS.get(error.status_code, (f"http-{error.status_code}", "Refused"))
    return problem(error.status_code, slug, title, error.detail or title, headers=error.headers)


async def _on_invalid_request(_: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem(400, "bad-json", "Not JSON", "The body is not valid JSON.")
    return problem(
        422,
        "invalid-request",
        "Invalid request",
        "One or more fields are not acceptable; see errors.",
        errors=[_field_error(one["loc"], one["msg"]) for one in found],
    )


async def _on_bug(_: Request, __: Exception) -> Response:
    return internal_error()


def _field_error(location: Iterable[str | int], message: str) -> FieldError:
    where, *path = location
    if where == "body":
        return {"pointer": "".join(f"/{_escaped(part)}" for part in path), "detail": message}
    return {"parameter": ".".join(map(str, path)), "detail": message}


def _escaped(part: str | int) -> str:
    """`part` as a reference token of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")

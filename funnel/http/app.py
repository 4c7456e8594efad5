"""The application every service is built on: probes, metrics, docs, bounded bodies, problem answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import REGISTRY
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from funnel.http import problems

Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""Called by `/readyz`: the name of each failing check with one sentence about it; empty means ready."""

MAX_BODY_BYTES = 1_048_576
"""Largest body an ordinary endpoint reads. No question to a service comes near it; it only bounds memory."""

_PROBES = "probes"


class Api(FastAPI):
    """A FastAPI application with hot paths: plain ASGI callables that answer before middleware and router.

    A hot path costs one dictionary lookup instead of FastAPI's 140 us per request. It stands in the OpenAPI
    document like any operation, answers only POST, and an exception in it becomes the same 500 problem.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._hot: dict[str, ASGIApp] = {}
        self._hot_operations: dict[str, Mapping[str, Any]] = {}
        self._hot_schemas: dict[str, Any] = {}

    def add_hot_path(
        self,
        path: str,
        endpoint: ASGIApp,
        operation: Mapping[str, Any],
        schemas: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer `POST path` with `endpoint`.

        `operation` is its OpenAPI operation object, `schemas` what that refers to in `#/components/schemas`.
        """
        self._hot[path] = endpoint
        self._hot_operations[path] = operation
        self._hot_schemas |= schemas or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            endpoint = self._hot.get(scope["path"])
            if endpoint is None:
                await super().__call__(scope, _bounded(receive), send)
            elif scope["method"] == "POST":
                await _guarded(endpoint, scope, receive, send)
            else:
                await _only_post(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for path, operation in self._hot_operations.items():
            document["paths"][path] = {"post": dict(operation)}
        document.setdefault("components", {}).setdefault("schemas", {}).update(self._hot_schemas)
        _document_problems(document)
        return document


def create_app(title: str, *, ready: Readiness, version: str | None = None) -> Api:
    """An application with `/livez`, `/readyz`, `/metrics`, `/docs` and problem+json for every error.

    `version` defaults to the version of the installed distribution.
    """
    app = Api(title=title, version=version or metadata.version("funnel"), redoc_url=None)
    problems.install(app)
    _add_probes(app, ready)
    return app


def _add_probes(app: FastAPI, ready: Readiness) -> None:
    @app.get("/livez", tags=[_PROBES], summary="The process answers; nothing it depends on is asked.")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=[_PROBES],
        summary="Whether the service can do its work now.",
        responses={503: {"description": "Not ready; `problems` says which checks failed and why."}},
    )
    async def readyz() -> JSONResponse:
        failing = dict(await ready())
        if failing:
            return JSONResponse({"status": "not ready", "problems": failing}, status_code=503)
        return JSONResponse({"status": "ready", "problems": {}})

    @app.get("/metrics", tags=[_PROBES], summary="Metrics for Prometheus.", response_class=Response)
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"content-type": content_type})


def _document_problems(document: dict[str, Any]) -> None:
    """Let the OpenAPI document say what is true: errors are problems, whatever their status."""
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Problem"] = problems.PROBLEM_SCHEMA
    answer = {
        "description": "The request was refused; `type` says why.",
        "content": {problems.PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            if "422" in operation["responses"]:
                operation["responses"]["422"] = answer | {"description": "A field is not acceptable."}
            operation["responses"].setdefault("default", answer)


def _bounded(receive: Receive) -> Receive:
    """`receive` that refuses to read more than MAX_BODY_BYTES of a body, whatever its headers promise."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        return message

    return bounded


async def _guarded(endpoint: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run a hot endpoint; a bug in it is answered as a problem and raised again for the server to log."""
    started = False

    async def watched(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await endpoint(scope, receive, watched)
    except Exception:
        if not started:
            await problems.internal_error()(scope, receive, send)
        raise


async def _only_post(scope: Scope, receive: Receive, send: Send) -> None:
    title, detail = "Method not allowed", f"{scope['method']} is not possible here; use POST."
    answer = problems.problem(405, "method-not-allowed", title, detail, headers={"Allow": "POST"})
    await answer(scope, receive, send)

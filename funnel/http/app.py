"""The application every service is built on: probes, metrics, docs, bounded bodies, problem answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from importlib import metadata
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import REGISTRY
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from funnel.http import problems
from funnel.telemetry import READY

Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""Called by `/readyz`: the name of each failing check with one sentence about it; empty means ready."""

MAX_BODY_BYTES = 1_048_576
"""Largest body an ordinary endpoint reads. No question to a service comes near it; it only bounds memory."""

_PROBES = "probes"


class _Routed:
    """An ASGI callable as the router wants it: it takes a plain function for one of its own endpoints."""

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope, receive, send)


class Api(FastAPI):
    """A FastAPI application with hot paths: plain ASGI callables that answer before middleware and router.

    A hot path costs one dictionary lookup instead of FastAPI's 140 us per request. It stands in the OpenAPI
    document like any operation, answers every method itself, and an exception in it becomes the same 500 problem.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._hot: dict[str, ASGIApp] = {}
        self._operations: dict[str, Mapping[str, Any]] = {}
        self._schemas: dict[str, Any] = {}
        self._security_schemes: dict[str, Any] = {}

    def add_hot_path(self, path: str, endpoint: ASGIApp, operations: Mapping[str, Any]) -> None:
        """Answer `path` with `endpoint`. `operations` are its OpenAPI operation objects by method.

        A path with parameters (`/v1/forms/{form}`) goes through the router, which sets `scope["path_params"]`.
        """
        if "{" in path:
            self.router.routes.append(Route(path, _Routed(endpoint), include_in_schema=False))
        else:
            self._hot[path] = endpoint
        self._operations[path] = operations

    def add_components(self, schemas: Mapping[str, Any], security_schemes: Mapping[str, Any]) -> None:
        """What the operations of hot paths refer to: entries of `components` in the OpenAPI document."""
        self._schemas |= schemas
        self._security_schemes |= security_schemes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            endpoint = self._hot.get(scope["path"])
            if endpoint is None:
                await super().__call__(scope, _bounded(receive), send)
            else:
                await _guarded(endpoint, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for path, operations in self._operations.items():
            document["paths"][path] = {method: dict(operation) for method, operation in operations.items()}
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(self._schemas)
        components.setdefault("securitySchemes", {}).update(self._security_schemes)
        _document_problems(document, self._operations)
        return document


async def _nothing() -> Mapping[str, str]:
    return {}


def create_app(title: str, *, ready: Readiness, degraded: Readiness = _nothing, version: str | None = None) -> Api:
    """An application with `/livez`, `/readyz`, `/metrics`, `/docs` and problem+json for every error.

    `degraded` tells what is wrong without keeping the service from its work. `version` defaults to the version of the
    installed distribution.
    """
    app = Api(title=title, version=version or metadata.version("funnel"), redoc_url=None, redirect_slashes=False)
    problems.install(app)
    _add_probes(app, ready, degraded)
    return app


def _add_probes(app: FastAPI, ready: Readiness, degraded: Readiness) -> None:
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
        return JSONResponse({"status": "ready", "problems": {}, "degraded": dict(await degraded())})

    @app.get("/metrics", tags=[_PROBES], summary="Metrics for Prometheus.", response_class=Response)
    async def metrics(request: Request) -> Response:
        READY.set(not await ready())
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"content-type": content_type})


def _document_problems(document: dict[str, Any], complete: Container[str]) -> None:
    """Let the OpenAPI document say what is true: errors are problems, whatever their status.

    The operations of the paths in `complete` say so themselves, status by status.
    """
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Problem"] = problems.PROBLEM_SCHEMA
    answer = {
        "description": "The request was refused; `type` says why.",
        "content": {problems.PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path, methods in document["paths"].items():
        if path in complete:
            continue
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

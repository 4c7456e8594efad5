"""What every service's HTTP surface does, whatever the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import HTTPException
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from funnel.http import Api, HttpProblem, create_app
from funnel.http.app import MAX_BODY_BYTES


class Question(BaseModel):
    number: int


class Readiness:
    """What `/readyz` is told."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    async def __call__(self) -> Mapping[str, str]:
        return self.problems


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def app(readiness: Readiness) -> Api:
    app = create_app("Test", ready=readiness, version="1")

    @app.post("/questions")
    async def ask(question: Question, limit: int = 1) -> int:
        return question.number * limit

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret of the insides")

    @app.get("/busy")
    async def busy() -> None:
        raise HttpProblem(409, "busy", "Busy", "Somebody else is at it.", headers={"Retry-After": "3"})

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "Short and stout.")

    return app


@pytest.fixture
async def client(app: Api) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem_of(response: httpx.Response, status: int, slug: str) -> dict[str, object]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert body["type"] == f"urn:funnel:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


async def test_alive_whatever_else_is_wrong(client: httpx.AsyncClient, readiness: Readiness) -> None:
    readiness.problems = {"kafka": "Kafka is away."}
    assert (await client.get("/livez")).status_code == 200


async def test_ready_when_no_check_fails(client: httpx.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ready", "problems": {}, "degraded": {}},
    )


async def test_not_ready_names_the_failing_check(client: httpx.AsyncClient, readiness: Readiness) -> None:
    readiness.problems = {"kafka": "Kafka is away."}
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["problems"] == {"kafka": "Kafka is away."}


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_come_in_the_form_asked_for(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(accept.partition(";")[0] or "text/plain")
    assert "process_cpu_seconds_total" in response.text


async def test_docs_are_served(client: httpx.AsyncClient) -> None:
    assert "swagger" in (await client.get("/docs")).text


async def test_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    problem_of(await client.get("/nowhere"), 404, "not-found")


async def test_wrong_method_is_a_problem_naming_the_right_one(client: httpx.AsyncClient) -> None:
    response = await client.post("/livez")
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"


async def test_missing_body_field_is_named_by_pointer(client: httpx.AsyncClient) -> None:
    body = problem_of(await client.post("/questions", json={}), 422, "invalid-request")
    assert body["errors"] == [{"pointer": "/number", "detail": "Field required"}]


async def test_bad_query_parameter_is_named_and_its_value_is_not_repeated(client: httpx.AsyncClient) -> None:
    response = await client.post("/questions", json={"number": 1}, params={"limit": "jane@example.com"})
    errors = problem_of(response, 422, "invalid-request")["errors"]
    assert isinstance(errors, list)
    assert [error["parameter"] for error in errors] == ["limit"]
    assert "jane" not in response.text


async def test_bad_json_is_400(client: httpx.AsyncClient) -> None:
    response = await client.post("/questions", content=b"{", headers={"content-type": "application/json"})
    problem_of(response, 400, "bad-json")


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_beyond_the_limit_is_413(client: httpx.AsyncClient, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY_BYTES // 2)

    content = chunks() if chunked else b" " * (MAX_BODY_BYTES + 1)
    response = await client.post("/questions", content=content, headers={"content-type": "application/json"})
    problem_of(response, 413, "too-large")


async def test_a_bug_is_500_without_a_word_of_the_insides(client: httpx.AsyncClient) -> None:
    response = await client.get("/bug")
    problem_of(response, 500, "internal-error")
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_a_raised_problem_keeps_its_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/busy")
    problem_of(response, 409, "busy")
    assert response.headers["retry-after"] == "3"


async def test_other_http_exceptions_become_problems_too(client: httpx.AsyncClient) -> None:
    assert problem_of(await client.get("/teapot"), 418, "http-418")["detail"] == "Short and stout."


async def test_hot_path_answers_before_the_router_and_is_documented(app: Api, client: httpx.AsyncClient) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b"hot"})

    operation = {"summary": "Hot", "responses": {"202": {"description": "Done."}}}
    app.add_hot_path("/hot", hot, {"post": operation})
    app.add_components({"Hot": {"type": "string"}}, {})

    assert (await client.post("/hot")).text == "hot"
    document = (await client.get("/openapi.json")).json()
    assert document["paths"]["/hot"]["post"]["summary"] == "Hot"
    assert document["components"]["schemas"]["Hot"] == {"type": "string"}


async def test_a_hot_path_with_parameters_is_told_them(app: Api, client: httpx.AsyncClient) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{scope['method']} {scope['path_params']}".encode()})

    app.add_hot_path("/hot/{name}", hot, {"put": {"responses": {}}})
    assert (await client.put("/hot/a%20b")).text == "PUT {'name': 'a b'}"
    assert "/hot/{name}" in (await client.get("/openapi.json")).json()["paths"]


async def test_a_bug_in_a_hot_path_is_500_and_still_raised_for_the_log(app: Api) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a secret of the insides")

    app.add_hot_path("/hot", hot, {"post": {"responses": {}}})
    quiet = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=quiet, base_url="http://test") as client:
        problem_of(await client.post("/hot"), 500, "internal-error")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        with pytest.raises(RuntimeError):
            await client.post("/hot")


async def test_openapi_promises_problems_and_nothing_of_the_framework(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
    refused = document["paths"]["/questions"]["post"]["responses"]["422"]
    assert list(refused["content"]) == ["application/problem+json"]

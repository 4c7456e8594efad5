"""Asking a running service over HTTP, with an answer or one sentence about why there is none."""

from __future__ import annotations

from typing import Any

import httpx

from funnel.errors import FunnelError
from funnel.settings import Settings

TIMEOUT_SECONDS = 30.0


class Refused(FunnelError):
    """The service answered with a problem; `status` is its HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def ask(settings: Settings, service: str, method: str, path: str, body: object = None, **params: Any) -> Any:
    """The JSON that `service` answers. Raises Refused for a problem, FunnelError when nobody answers."""
    url = settings.url_of(service)
    asked = {name: value for name, value in params.items() if value is not None}
    try:
        answer = httpx.request(
            method,
            f"{url}{path}",
            json=body,
            params=asked,
            headers=_token(settings, service),
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise FunnelError(
            f"The {service} service does not answer at {url} ({type(error).__name__}); start it with `funnel up`."
        ) from error
    if answer.is_success:
        return answer.json()
    raise Refused(answer.status_code, _detail(service, answer))


def _token(settings: Settings, service: str) -> dict[str, str]:
    """The admin token is ingest's alone."""
    if service != "ingest" or not settings.admin_token:
        return {}
    return {"Authorization": f"Bearer {settings.admin_token}"}


def _detail(service: str, answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    sentence = problem.get("detail", f"The {service} service answered with status {answer.status_code}.")
    errors = [
        f"{one.get('pointer', one.get('parameter', ''))}: {one['detail']}"
        for one in problem.get("errors", ())
        if one["detail"] != sentence
    ]
    return " ".join([sentence, *errors])

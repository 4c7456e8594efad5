"""What `funnel sources` asks of ingest, and what it refuses to ask."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner, Result

from funnel.cli import sources

SHOP: dict[str, Any] = {
    "name": "shop",
    "origins": ["https://a.example"],
    "redirects": [],
    "events_per_second": 1000,
    "honeypot": "website_confirm_url",
    "min_fill_seconds": 2.0,
    "turnstile": False,
    "fields": {"q1": "person.company"},
    "active": True,
    "created_at": "2026-11-22T09:00:00Z",
    "keys": [],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bodies of the changes that reach ingest, where there is a source `shop`."""
    bodies: list[Any] = []

    def ask(_: Any, service: str, method: str, path: str, body: object = None) -> Any:
        assert (service, path) == ("ingest", "/v1/sources/shop")
        if method == "PATCH":
            bodies.append(body)
        return SHOP

    monkeypatch.setattr(sources, "ask", ask)
    return bodies


def run(*words: str) -> Result:
    return CliRunner().invoke(sources.app, words, env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--inactive"], {"active": False}),
        (["--events-per-second", "5"], {"events_per_second": 5}),
        (["--origin", "https://b.example"], {"origins": ["https://a.example", "https://b.example"]}),
        (["--drop-origin", "https://a.example"], {"origins": []}),
        (["--origin", "*", "--drop-origin", "https://a.example"], {"origins": ["*"]}),
        (["--redirect", "https://a.example/"], {"redirects": ["https://a.example/"]}),
        (["--field", "a=b=person.title"], {"fields": {"q1": "person.company", "a=b": "person.title"}}),
        (["--field", "q1=person.title"], {"fields": {"q1": "person.title"}}),
        (["--drop-field", "q1"], {"fields": {}}),
    ],
)
def test_a_change_names_what_changes_and_nothing_else(asked: list[Any], words: list[str], body: object) -> None:
    assert run("set", "shop", *words).exit_code == 0
    assert asked == [body]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to change"),
        (["--drop-origin", "https://b.example"], "is not there; there are: https://a.example"),
        (["--drop-field", "q2"], "is not there; there are: q1"),
        (["--field", "q1"], "is not FORM=OURS"),
        (["--field", "=person.company"], "is not FORM=OURS"),
    ],
)
def test_a_change_that_cannot_be_meant_is_not_asked_for(asked: list[Any], words: list[str], sentence: str) -> None:
    done = run("set", "shop", *words)
    assert done.exit_code == 2
    assert sentence in done.output
    assert asked == []


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["add", "shop"], {"write_key": "fwk_1", "secret_key": "fsk_1"}),
        (["rotate", "shop", "--kind", "secret"], {"key": "fsk_1"}),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("in_force", [True, False])
def test_a_key_that_is_not_in_force_yet_is_shown_and_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, words: list[str], keys: dict[str, str], as_json: bool, in_force: bool
) -> None:
    monkeypatch.setattr(sources, "ask", lambda *_: SHOP | keys | {"source": SHOP, "in_force": in_force})
    done = run(*words, *(["--json"] if as_json else []))
    assert done.exit_code == 0
    assert "fsk_1" in done.stdout
    assert done.stderr == ("" if in_force else f"{sources.NOT_IN_FORCE}\n")


def test_only_ingest_is_told_the_admin_token() -> None:
    from funnel.cli.asking import _token
    from funnel.settings import Settings

    settings = Settings(admin_token="a token of the tests")
    assert _token(settings, "ingest") == {"Authorization": "Bearer a token of the tests"}
    assert _token(settings, "routing") == {}
    assert _token(Settings(), "ingest") == {}

"""Settings say who needs a key, and keep secrets to themselves."""

from __future__ import annotations

import pytest

from funnel.settings import Settings, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_only_this_machine_reaches_a_loopback_address(host: str) -> None:
    assert is_loopback(host)
    assert not Settings(host=host).keys_required


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.com", "localhost.example.com", "127.1"])
def test_anything_else_may_be_reached_by_others(host: str) -> None:
    assert not is_loopback(host)
    assert Settings(host=host).keys_required


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("said", [True, False])
def test_what_is_said_about_keys_goes_before_the_address(host: str, said: bool) -> None:
    assert Settings(host=host, require_keys=said).keys_required is said


def test_a_variable_that_is_empty_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FUNNEL_REQUIRE_KEYS", "FUNNEL_ADMIN_TOKEN", "FUNNEL_INGEST_PORT", "FUNNEL_HOST"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.require_keys, settings.admin_token) == (None, "")
    assert (settings.ingest_port, settings.host) == (8000, "127.0.0.1")


def test_no_secret_is_in_what_is_printed_of_settings() -> None:
    names = ("admin_token", "ingest_key", "key_secret", "turnstile_secret")
    settings = Settings.model_validate({name: f"hidden {name}" for name in names})
    assert "hidden" not in f"{settings} {settings!r}"

"""`funnel up` on servers of its own: the source to try things with, and who may manage sources."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import httpx
import pytest

from chaos.stack import StackUnderTest, on_free_ports, stack_under_test

EVENT = {"type": "form.submitted", "identity": {"email": "jane@example.com"}}


@pytest.fixture
def stack() -> Iterator[StackUnderTest]:
    """A stack with servers of its own, as `funnel up` makes it with nothing set."""
    with stack_under_test(on_free_ports()) as made:
        yield made


def up(stack: StackUnderTest) -> dict[str, str]:
    """The keys that `funnel up` prints, by kind."""
    done = stack.funnel("up", "--detach")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.strip().startswith(("write key", "secret key"))]
    return {words[0]: words[2] for words in lines}


def post(stack: StackUnderTest, key: str | None) -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    url = f"http://127.0.0.1:{stack.environment['FUNNEL_INGEST_PORT']}/v1/events"
    return httpx.post(url, json=EVENT, headers=headers, trust_env=False).status_code


def test_the_development_keys_are_printed_kept_and_replaced_when_they_are_lost(stack: StackUnderTest) -> None:
    keys = up(stack)
    assert {kind: key[:4] for kind, key in keys.items()} == {"write": "fwk_", "secret": "fsk_"}
    assert [post(stack, key) for key in (keys["secret"], keys["write"], None, "fsk_guess")] == [202, 202, 202, 401]

    # The command line is let in by the token of the home, and nobody is without it, not even on this machine.
    shown = json.loads(stack.funnel("sources", "show", "development", "--json").stdout)
    assert shown["origins"] == ["*"]
    secrets = [stack.home.path / name for name in ("admin_token", "development_keys.json", "key_secret")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600] * 3
    url = f"http://127.0.0.1:{stack.environment['FUNNEL_INGEST_PORT']}/v1/sources"
    assert httpx.get(url, trust_env=False).status_code == 401

    assert stack.funnel("down").returncode == 0
    assert up(stack) == keys

    stack.home.development_keys_file.unlink()
    assert stack.funnel("down").returncode == 0
    others = up(stack)
    assert not set(others.values()) & set(keys.values())
    assert [post(stack, key) for key in (others["secret"], keys["secret"], keys["write"])] == [202, 401, 401]

    logs = "".join(path.read_text(errors="replace") for path in stack.home.logs.iterdir())
    written = logs + stack.home.state_file.read_text() + stack.funnel("status", "--json").stdout
    told = [*keys.values(), *others.values(), (stack.home.path / "admin_token").read_text()]
    assert [secret for secret in told if secret in written] == []

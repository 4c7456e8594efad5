"""A whole stack for the length of a `with` block."""

from __future__ import annotations

import httpx
import pytest

from funnel.embedded import orphans
from funnel.embedded.errors import StackError
from funnel.embedded.home import Home
from funnel.embedded.running import running_stack
from funnel.settings import Settings


def _ignore(step: str) -> None:
    del step


def test_the_services_answer_inside_the_block_and_are_gone_after_it(settings: Settings) -> None:
    with running_stack(settings, _ignore) as told:
        assert told.kafka_bootstrap == settings.kafka_bootstrap
        assert told.topic_prefix == settings.topic_prefix
        for service in ("ingest", "scoring", "routing", "metrics"):
            assert httpx.get(f"{told.url_of(service)}/readyz").status_code == 200
    assert orphans.find(Home.at(settings.home).path, None) == []


def test_an_error_inside_the_block_stops_the_services_too(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), running_stack(settings, _ignore):
        raise ZeroDivisionError
    assert orphans.find(Home.at(settings.home).path, None) == []


def test_a_stack_that_cannot_start_says_why(settings: Settings) -> None:
    with Home.at(settings.home).locked():
        refused = pytest.raises(StackError, match="already running")
        with refused, running_stack(settings, _ignore):
            pass

"""The four services as processes of their own, on this test's database and topics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from funnel.embedded.running import running_stack
from funnel.settings import Settings


@pytest.fixture
def stack(settings: Settings) -> Iterator[Settings]:
    """Settings that lead to a running stack; a test that needs its own routing.yaml writes it before asking."""
    with running_stack(settings, lambda step: None) as live:
        yield live

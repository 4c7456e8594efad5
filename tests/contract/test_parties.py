"""The topic files name as writers and readers exactly the services whose code does so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from funnel import schemas
from funnel.topics import topics

SERVICES = sorted(path.parent for path in (schemas.folder().parent / "services").glob("*/__main__.py"))

# The ledger compares the positions of other services with the topics they read; it reads none of these itself.
LEDGER = "books.py"


def topics_named_in(service: Path) -> set[str]:
    """Names of topics that stand as texts in the code of a service."""
    found = set()
    for path in service.rglob("*.py"):
        if path.name != LEDGER:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found & topics().keys()


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_a_service_uses_the_topics_that_name_it(service: Path) -> None:
    name = service.name
    declared = {topic.name for topic in topics().values() if name in (*topic.producers, *topic.consumers)}

    assert topics_named_in(service) == declared


def test_every_service_is_looked_at() -> None:
    assert [service.name for service in SERVICES] == ["ingest", "metrics", "routing", "scoring"]

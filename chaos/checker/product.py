"""What is public about the product: names of topics, who reads them, who writes them. Taken from `schemas/topics`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TOPICS: Final = (
    "lead-events",
    "lead-outcomes",
    "lead-scores",
    "lead-assignments",
    "lead-decisions",
    "ingest-receipts",
)

READERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "scoring": ("lead-events",),
        "routing": ("lead-scores", "lead-outcomes"),
        "metrics": ("lead-events", "lead-scores", "lead-assignments", "lead-decisions", "ingest-receipts"),
    }
)

SCHEMAS: Final = ("ingest", *READERS)

WRITTEN_BY_OUTBOX: Final[Mapping[str, str]] = MappingProxyType(
    {"lead-scores": "scoring", "lead-assignments": "routing", "lead-decisions": "routing"}
)
"""Topics whose records are committed in a service's outbox before they are published."""

TOPIC_OF_KIND: Final[Mapping[str, str]] = MappingProxyType({"event": "lead-events", "outcome": "lead-outcomes"})

FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "lead-events": ("type",),
        "lead-outcomes": ("type",),
        "lead-scores": ("lead_id", "version", "qualified", "qualified_at", "mode"),
        "lead-assignments": ("assignment_id", "lead_id", "epoch", "version", "status", "rep", "pool"),
        "lead-decisions": ("decision_id", "lead_id", "version", "kind", "pool", "number", "outcome"),
        "ingest-receipts": ("process", "events", "outcomes"),
    }
)
"""The fields of each topic's records that some rule looks at."""

REQUIRED: Final[Mapping[str, Mapping[str, type]]] = MappingProxyType(
    {
        "lead-events": {},
        "lead-outcomes": {},
        "lead-scores": {"lead_id": str, "version": int, "qualified": bool},
        "lead-assignments": {
            "assignment_id": str,
            "lead_id": str,
            "epoch": int,
            "version": int,
            "status": str,
            "rep": dict,
            "pool": str,
        },
        "lead-decisions": {"decision_id": str, "kind": str},
        "ingest-receipts": {"process": str, "events": int, "outcomes": int},
    }
)
"""What a record has to have to be one of the topic's. Anything else can only be somebody else's mistake."""

UNPUBLISHED_DECISIONS: Final = frozenset({"assigned", "lost"})
"""Kinds of decisions that are kept and not published: the assignment record says it; nobody was told of a lost one."""

SECRET_TABLES: Final = frozenset({"ingest.source_key"})
"""Never written down."""

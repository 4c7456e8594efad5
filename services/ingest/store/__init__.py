"""Ingest's tables, a module for each group of them. Every function runs in the caller's transaction."""

from __future__ import annotations

from typing import Final

from funnel.postgres import Queries, load_queries

QUERIES: Final[Queries] = load_queries("services.ingest.sql")

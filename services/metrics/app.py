"""Puts the metrics service together. The only place that names concrete classes; tests build the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from funnel import runtime
from funnel.clock import SystemClock
from funnel.http import create_app
from funnel.runtime import Application
from funnel.settings import Settings
from funnel.telemetry import DATABASE_TOTALS
from services.metrics.api import routes
from services.metrics.auditing import Auditing
from services.metrics.books import Books
from services.metrics.exporter import Exporter
from services.metrics.handlers import MetricsHandler
from services.metrics.settings import AUDIT_DUTY, EXPORT_DUTY, organisation_zone

DUTIES = (EXPORT_DUTY, AUDIT_DUTY)


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The service, connected. Raises UnsafeSettings, DatabaseAway or KafkaAway."""
    zone, clock = organisation_zone(settings), SystemClock()
    async with runtime.spine(settings, MetricsHandler(zone), publishes=False, duties=DUTIES) as spine:
        books = Books(settings, spine.database, clock)
        exporter = Exporter(spine.database, books, DATABASE_TOTALS, lambda: spine.holds(EXPORT_DUTY))
        auditing = Auditing(settings, spine.database, lambda: spine.holds(AUDIT_DUTY))
        http = create_app("Lead funnel: metrics", ready=spine.ready)
        http.include_router(routes(spine.database, books, clock, zone))
        try:
            yield Application(
                "metrics", http, [*spine.workers, exporter, auditing], settings.host, settings.metrics_port
            )
        finally:
            await books.close()

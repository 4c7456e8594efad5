"""The routing service, put together. The only module that names concrete classes; tests build the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from funnel import runtime
from funnel.clock import SystemClock
from funnel.http import create_app
from funnel.runtime import Application
from funnel.settings import Settings
from funnel.telemetry import DATABASE_TOTALS
from services.routing import store
from services.routing.adopter import RoutingAdopter
from services.routing.api import routes
from services.routing.handlers import RoutingHandler
from services.routing.releaser import HeldReleaser
from services.routing.settings import EXPORT_DUTY, load_rules


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The service, connected. Raises RulesError for rules that cannot be used, and what `runtime.spine` raises."""
    rules = load_rules(settings.home)
    handler = RoutingHandler(rules)
    async with runtime.spine(settings, handler, adopter=RoutingAdopter(), duties=(EXPORT_DUTY,)) as spine:
        async with spine.database.transaction() as tx:
            await store.declare(tx, rules)
        releaser = HeldReleaser(
            spine.database,
            handler,
            SystemClock(),
            spine.wake_relay,
            DATABASE_TOTALS,
            lambda: spine.holds(EXPORT_DUTY),
        )
        http = create_app("Lead funnel: routing", ready=spine.ready)
        http.include_router(routes(spine.database, releaser.wake))
        yield Application(handler.name, http, [*spine.workers, releaser], settings.host, settings.routing_port)

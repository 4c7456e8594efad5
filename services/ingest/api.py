"""The endpoints for programs (`design.md` section 7): events, batches of events, outcomes."""

from __future__ import annotations

from typing import Final

from funnel.http import Api
from services.ingest import openapi
from services.ingest.desk import Desk, batch_if_many, batch_of
from services.ingest.domain import limits
from services.ingest.domain.access import Caller, Use
from services.ingest.domain.kinds import EVENT, OUTCOME
from services.ingest.endpoint import Doors, Endpoint, Way
from services.ingest.wire import Answer, Ask

EVENTS: Final = Way("/v1/events", Use.EVENTS, limits.EVENT_BYTES_MAX)
BATCH: Final = Way("/v1/events/batch", Use.EVENTS, limits.BODY_BYTES_MAX)
OUTCOMES: Final = Way("/v1/outcomes", Use.OUTCOMES, limits.BODY_BYTES_MAX)


def add_endpoints(app: Api, doors: Doors, desk: Desk) -> None:
    """Give `app` the three endpoints."""

    async def one_event(ask: Ask, caller: Caller) -> Answer:
        return await desk.take_one(EVENT, ask, caller)

    async def events(ask: Ask, caller: Caller) -> Answer:
        return await desk.take_many(EVENT, ask, caller, batch_of(ask, EVENT))

    async def outcomes(ask: Ask, caller: Caller) -> Answer:
        batch = batch_if_many(ask, OUTCOME)
        if batch is None:
            return await desk.take_one(OUTCOME, ask, caller)
        return await desk.take_many(OUTCOME, ask, caller, batch)

    operations = openapi.operations()
    for way, respond in ((EVENTS, one_event), (BATCH, events), (OUTCOMES, outcomes)):
        app.add_hot_path(way.path, Endpoint(way, doors, respond), {"post": operations[way.path]})

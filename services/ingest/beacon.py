"""The ways in for pages that cannot wait for an answer: a beacon as they are left, and an image."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from funnel.http import Api
from services.ingest import openapi
from services.ingest.desk import Desk, batch_if_many, not_stored
from services.ingest.domain import limits
from services.ingest.domain.access import Caller, Use
from services.ingest.domain.kinds import EVENT
from services.ingest.domain.pixel import event_of
from services.ingest.endpoint import Doors, Endpoint, Way
from services.ingest.wire import Answer, Ask

BEACON: Final = Way("/v1/beacon", Use.BEACON, limits.EVENT_BYTES_MAX)
PIXEL: Final = Way("/v1/p.gif", Use.PIXEL, 0, method="GET")

_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_NEVER_STORED: Final = {b"cache-control": b"no-store"}
_DONE: Final = Answer(204, b"")
_IMAGE: Final = Answer(200, _GIF, _NEVER_STORED, b"image/gif")


def add_endpoints(app: Api, doors: Doors, desk: Desk) -> None:
    """Give `app` the beacon and the pixel."""

    async def beacon(ask: Ask, caller: Caller) -> Answer:
        batch = batch_if_many(ask, EVENT)
        if batch is None:
            answer = await desk.take_one(EVENT, ask, caller)
        else:
            answer = await desk.take_many(EVENT, ask, caller, batch)
        if answer.status >= 400:
            return answer
        return _DONE if answer.settled else not_stored({})

    async def pixel(ask: Ask, caller: Caller) -> Answer:
        ask.body = msgspec.json.encode(event_of(ask.query, ask.headers.get(b"referer")))
        return await desk.take_one(EVENT, ask, caller)

    operations = openapi.operations()
    app.add_hot_path(BEACON.path, Endpoint(BEACON, doors, beacon), {"post": operations[BEACON.path]})
    app.add_hot_path(PIXEL.path, Endpoint(PIXEL, doors, pixel, always=_IMAGE), {"get": operations[PIXEL.path]})

"""What scoring answers over HTTP: one lead, and which lead somebody is. No personal data stands in an address."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from funnel import identifiers as normalised
from funnel.envelope import format_time
from funnel.http import HttpProblem, Readiness, create_app
from funnel.identifiers import Identifier
from funnel.postgres import Database
from services.scoring import store
from services.scoring.domain.touch import Moment

PAGE_TOUCHES = 50
PAGE_TOUCHES_MAX = 500
BEGINNING: Moment = (datetime(1, 1, 1, tzinfo=UTC), "", "")

_Text = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


class ExternalId(BaseModel):
    """The id of a person in another system."""

    model_config = ConfigDict(extra="forbid")

    system: _Text
    id: _Text


class Lookup(BaseModel):
    """Exactly one identifier, written in any way that ingest would take."""

    model_config = ConfigDict(extra="forbid")

    email: _Text | None = None
    phone: _Text | None = None
    external_id: ExternalId | Annotated[_Text, Field(pattern=r"^[^:\x00]+:[^\x00]+$")] | None = Field(
        default=None, description='`"system:id"`, or `{"system", "id"}`.'
    )

    @model_validator(mode="after")
    def _one(self) -> Lookup:
        if sum(value is not None for value in (self.email, self.phone, self.external_id)) != 1:
            raise PydanticCustomError("one_identifier", "Give exactly one of email, phone and external_id.")
        return self

    def identifier(self) -> Identifier:
        """The identifier that was asked for, normalised as in scoring."""
        if self.email is not None:
            return Identifier("email", normalised.email(self.email).value)
        if self.phone is not None:
            return Identifier("phone", normalised.phone(self.phone).value)
        if isinstance(self.external_id, ExternalId):
            return Identifier("external", normalised.external(self.external_id.system, self.external_id.id))
        system, _, value = (self.external_id or "").partition(":")
        return Identifier("external", normalised.external(system, value))


class Found(BaseModel):
    """Whose identifier it is."""

    lead_id: str


class TouchShown(BaseModel):
    """One event of the lead, with everything of it that is kept."""

    source: str
    event_id: str
    type: str
    occurred_at: str
    mode: Literal["live", "history"]
    details: dict[str, Any]


class LeadShown(BaseModel):
    """A lead: `lead` is its newest record on the topic lead-scores."""

    lead: dict[str, Any]
    touches: list[TouchShown] = Field(description="In the order in which they happened.")
    next: str | None = Field(description="Pass as `after` to read on; null on the last page.")


def create_api(database: Database, ready: Readiness) -> FastAPI:
    """The service's HTTP application."""
    app = create_app("Funnel scoring", ready=ready)

    @app.get("/v1/leads/{lead_id}", tags=["leads"], summary="State, score, reasons and touches of one lead.")
    async def show(
        lead_id: Annotated[UUID, Path()],
        limit: Annotated[int, Query(ge=1, le=PAGE_TOUCHES_MAX, description="Touches per page.")] = PAGE_TOUCHES,
        after: Annotated[str | None, Query(max_length=1024, description="`next` of the page before.")] = None,
    ) -> LeadShown:
        start = _read_cursor(after) if after is not None else BEGINNING
        async with database.transaction() as tx:
            found = await store.show_lead(tx, str(lead_id))
            if found is None:
                raise HttpProblem(404, "lead-unknown", "Unknown lead", "There is no lead with this id.")
            subjects = [str(lead_id), *found.evidence.subjects]
            touches = await store.page_of_touches(tx, subjects, start, limit + 1)
        page = touches[:limit]
        return LeadShown(
            lead=msgspec.to_builtins(found.record),
            touches=[
                TouchShown(
                    source=touch.source,
                    event_id=touch.event_id,
                    type=touch.type,
                    occurred_at=format_time(touch.occurred_at),
                    mode=touch.details.mode,
                    details=msgspec.to_builtins(touch.details),
                )
                for touch in page
            ],
            next=_write_cursor(page[-1].moment) if len(touches) > limit else None,
        )

    @app.post("/v1/leads/lookup", tags=["leads"], summary="The lead that an identifier belongs to.")
    async def lookup(asked: Lookup) -> Found:
        async with database.transaction() as tx:
            lead_id = await store.find_lead(tx, asked.identifier())
        if lead_id is None:
            raise HttpProblem(404, "lead-unknown", "Unknown lead", "No lead is known by this identifier.")
        return Found(lead_id=lead_id)

    return app


def _write_cursor(moment: Moment) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(moment)).decode()


def _read_cursor(text: str) -> Moment:
    try:
        moment: Moment = msgspec.json.decode(base64.urlsafe_b64decode(text), type=Moment)
    except (ValueError, msgspec.DecodeError) as error:
        detail = "It is not the `next` of another page."
        raise HttpProblem(
            422, "invalid-request", "Invalid request", detail, errors=[{"parameter": "after", "detail": detail}]
        ) from error
    return moment

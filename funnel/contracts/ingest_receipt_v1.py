# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from funnel.contracts.instants import Instant


class IngestReceipt(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """How many records one ingest process called stored in a span of time. When the topics hold fewer
    records than all receipts add up to, records were lost. Identified by (process, number).
    """

    process: str
    number: Annotated[int, Meta(ge=1)]
    since: Instant
    until: Instant
    events: Annotated[int, Meta(ge=0)]
    outcomes: Annotated[int, Meta(ge=0)]

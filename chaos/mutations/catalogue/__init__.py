"""Every mutation, by the part of the product it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from chaos.mutations.catalogue import ingest, kafka, ledger, log, ownership, postgres, relay, routing, scoring, spine
from chaos.mutations.mutation import Mutation

AREAS: Final[Mapping[str, Sequence[Mutation]]] = {
    "Who may move a position": ownership.MUTATIONS,
    "What is read from the log": log.MUTATIONS,
    "One transaction per batch": spine.MUTATIONS,
    "Postgres": postgres.MUTATIONS,
    "From the outbox to the topics": relay.MUTATIONS,
    "The producer": kafka.MUTATIONS,
    "Scoring": scoring.MUTATIONS,
    "Routing: one rep for each lead": routing.MUTATIONS,
    "Ingest: a 202 is a promise": ingest.MUTATIONS,
    "The ledger": ledger.MUTATIONS,
}

ALL: Final[Sequence[Mutation]] = [one for area in AREAS.values() for one in area]

"""Reading what came of the journeys: the public topics from their beginning, the ledger, whom an identifier is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx

from funnel.contracts import LeadAssignment, LeadDecision, LeadScore
from funnel.contracts.registry import decoder
from funnel.demo.journeys import Journey
from funnel.demo.verdict import Ledger, Observed
from funnel.envelope import header
from funnel.errors import FunnelError
from funnel.kafka.consumer import Consumer
from funnel.settings import Settings

TOPICS = ("lead-scores", "lead-assignments", "lead-decisions")
LOOKUPS_AT_ONCE = 8
REQUEST_TIMEOUT = 10.0
POLL_RECORDS = 1000
POLL_SECONDS = 0.2


class NotAnswered(FunnelError):
    """A service of the demo's own stack did not answer a question."""


class Observer:
    """Collects records as they come; every `look` is complete up to the moment it began."""

    def __init__(self, settings: Settings, consumer: Consumer, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._consumer = consumer
        self._client = client
        self._decode = {topic: decoder(topic) for topic in TOPICS}
        self._next: dict[tuple[str, int], int] = {}
        self._scores: dict[str, LeadScore] = {}
        self._assignments: list[LeadAssignment] = []
        self._decisions: list[LeadDecision] = []

    async def look(self, journeys: Sequence[Journey]) -> Observed:
        """Everything as it is now. Raises NotAnswered and KafkaAway."""
        ledger = await self.ledger()
        found = await self._whose(journeys)
        await self._read_on()
        return Observed(dict(self._scores), tuple(self._assignments), tuple(self._decisions), ledger, found)

    async def start(self) -> None:
        """Begin at the start of the topics."""
        partitions = await self._consumer.partitions(TOPICS)
        bounds = await self._consumer.bounds(partitions)
        self._next = {partition: begin for partition, (begin, _) in bounds.items()}
        self._consumer.assign(self._next)

    async def _read_on(self) -> None:
        """Read what is in the topics now; what comes meanwhile may be read too."""
        ends = {partition: end for partition, (_, end) in (await self._consumer.bounds(list(self._next))).items()}
        while any(self._next[partition] < end for partition, end in ends.items()):
            for partition, records in (await self._consumer.poll(POLL_RECORDS, POLL_SECONDS)).items():
                for record in records:
                    dataschema = header(record.headers, "ce_dataschema")
                    self._keep(self._decode[partition[0]](record.value or b"", dataschema))
                self._next[partition] = records[-1].offset + 1

    def _keep(self, record: LeadScore | LeadAssignment | LeadDecision) -> None:
        if isinstance(record, LeadAssignment):
            self._assignments.append(record)
        elif isinstance(record, LeadDecision):
            self._decisions.append(record)
        elif (known := self._scores.get(record.lead_id)) is None or known.version < record.version:
            self._scores[record.lead_id] = record

    async def ledger(self) -> Ledger:
        """The ledger as it is now. Raises NotAnswered."""
        answer = await self._ask("GET", f"{self._settings.url_of('metrics')}/v1/ledger", None)
        if answer.status_code != 200:
            raise NotAnswered(f"The ledger cannot be read: {answer.status_code} {answer.text}")
        ledger: Ledger = answer.json()
        return ledger

    async def _whose(self, journeys: Sequence[Journey]) -> dict[int, dict[str, str | None]]:
        """The lead of each e-mail address and phone number that was posted, as it was written, by person."""
        places = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        url = f"{self._settings.url_of('scoring')}/v1/leads/lookup"

        async def ask(number: int, kind: str, text: str) -> tuple[int, str, str | None]:
            async with places:
                answer = await self._ask("POST", url, {kind: text})
            if answer.status_code not in (200, 404):
                raise NotAnswered(f"Scoring does not say whose {kind} it is: {answer.status_code} {answer.text}")
            return number, text, answer.json()["lead_id"] if answer.status_code == 200 else None

        asked = {
            (journey.person.number, kind, post.identity[kind])
            for journey in journeys
            if journey.person is not None
            for post in journey.posts
            for kind in ("email", "phone")
            if kind in post.identity
        }
        found: dict[int, dict[str, str | None]] = {}
        for number, text, lead in await asyncio.gather(*(ask(*question) for question in sorted(asked))):
            found.setdefault(number, {})[text] = lead
        return found

    async def _ask(self, method: str, url: str, body: Mapping[str, str] | None) -> httpx.Response:
        try:
            return await self._client.request(method, url, json=body, timeout=REQUEST_TIMEOUT)
        except httpx.TransportError as error:
            raise NotAnswered(f"{url} does not answer: {error or type(error).__name__}") from error


@asynccontextmanager
async def observer(settings: Settings) -> AsyncIterator[Observer]:
    """An observer of the stack that `settings` names. Raises KafkaAway."""
    consumer = Consumer(settings, "demo")
    await consumer.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            one = Observer(settings, consumer, client)
            await one.start()
            yield one
    finally:
        await consumer.stop()

"""What our ingest is compared with: the same job as a good FastAPI developer would write it, with the usual libraries.

Pydantic models of the event, the key checked by a dependency, `AIOKafkaProducer.send_and_wait` with acks=all, uvicorn
with uvloop and httptools. Imports nothing of the product. `python -m bench.intake_peer` runs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

import uvicorn
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

BATCH_MAX = 1000


class Settings(BaseSettings):
    """`keys` has, by source, the SHA-256 of its key in hex."""

    model_config = SettingsConfigDict(env_prefix="PEER_", frozen=True)

    kafka_bootstrap: str = "127.0.0.1:9092"
    topic: str = "peer-events"
    host: str = "127.0.0.1"
    port: int = 8000
    keys: dict[str, str] = {}
    key_secret: str = "of the peer"


settings = Settings()
key_secret = hashlib.sha256(settings.key_secret.encode()).digest()


class Part(BaseModel):
    """A part of an event. Fields that nobody has named are kept."""

    model_config = ConfigDict(extra="allow")


class Identity(Part):
    email: str | None = Field(None, max_length=320, pattern=".@.")
    phone: str | None = Field(None, max_length=64, pattern=r"\d")
    visitor_id: str | None = Field(None, max_length=256)
    external_ids: dict[str, str] | None = Field(None, max_length=20)

    @model_validator(mode="after")
    def somebody(self) -> Identity:
        """Without any identifier nobody can be told from it."""
        if not (self.email or self.phone or self.visitor_id or self.external_ids):
            raise ValueError("must hold at least one of email, phone, visitor_id and external_ids")
        return self

    def strongest(self) -> str:
        """What the record's key is made of."""
        return (self.email or self.phone or self.visitor_id or str(self.external_ids)).strip().lower()


class Person(Part):
    name: str | None = None
    name_kana: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    title: str | None = None
    department: str | None = None
    company: str | None = None
    corporate_number: str | None = None
    employees: int | None = Field(None, ge=0, le=100_000_000)
    industry: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    postal_code: str | None = None
    message: str | None = None


class Utm(Part):
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None


class Context(Part):
    page_url: str | None = None
    referrer: str | None = None
    utm: Utm | None = None
    click_ids: dict[str, str] | None = Field(None, max_length=50)


class Consent(Part):
    marketing: bool | None = None
    email: bool | None = None
    phone: bool | None = None


class Event(Part):
    event_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1, max_length=128)
    type: str = Field(pattern=r"^[a-z][a-z0-9_.]*$", max_length=128)
    occurred_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    identity: Identity
    person: Person | None = None
    context: Context | None = None
    properties: dict[str, Any] | None = None
    consent: Consent | None = None


class Batch(BaseModel):
    events: list[Event] = Field(min_length=1, max_length=BATCH_MAX)


class Accepted(BaseModel):
    event_id: str
    status: Literal["accepted"] = "accepted"


class Result(BaseModel):
    index: int
    event_id: str
    status: Literal["accepted", "retry"]
    detail: str | None = None


class Results(BaseModel):
    results: list[Result]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One producer for the life of the process."""
    app.state.producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all")
    await app.state.producer.start()
    try:
        yield
    finally:
        await app.state.producer.stop()


app = FastAPI(title="Intake", lifespan=lifespan)


def get_producer(request: Request) -> AIOKafkaProducer:
    """The producer of this process."""
    return request.app.state.producer


async def get_source(given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Whose key it is."""
    presented = hashlib.sha256(given.credentials.encode()).hexdigest()
    for source, key in settings.keys.items():
        if hmac.compare_digest(key, presented):
            return source
    raise HTTPException(401, "unknown key")


Producer = Annotated[AIOKafkaProducer, Depends(get_producer)]
Source = Annotated[str, Depends(get_source)]


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/v1/events", status_code=202)
async def one_event(event: Event, source: Source, producer: Producer) -> Accepted:
    try:
        await publish(producer, source, event)
    except KafkaError:
        raise HTTPException(503, "not stored") from None
    return Accepted(event_id=event.event_id)


@app.post("/v1/events/batch", status_code=202)
async def events_in_turn(batch: Batch, source: Source, producer: Producer) -> Results:
    """One after another, which keeps their order."""
    return Results(results=[await stored(producer, source, index, event) for index, event in enumerate(batch.events)])


@app.post("/v1/events/batch/gathered", status_code=202)
async def events_gathered(batch: Batch, source: Source, producer: Producer) -> Results:
    """All at once, in whatever order."""
    sends = (stored(producer, source, index, event) for index, event in enumerate(batch.events))
    return Results(results=await asyncio.gather(*sends))


async def stored(producer: AIOKafkaProducer, source: str, index: int, event: Event) -> Result:
    """Publishes one event of a batch, and says what became of it."""
    try:
        await publish(producer, source, event)
    except KafkaError:
        return Result(index=index, event_id=event.event_id, status="retry", detail="not stored")
    return Result(index=index, event_id=event.event_id, status="accepted")


async def publish(producer: AIOKafkaProducer, source: str, event: Event) -> None:
    """Returns when Kafka has it. Raises KafkaError."""
    record = event.model_copy(update={"source": source, "received_at": datetime.now(UTC)})
    await producer.send_and_wait(
        settings.topic,
        key=hashlib.blake2b(event.identity.strongest().encode(), digest_size=16, key=key_secret).hexdigest().encode(),
        value=record.model_dump_json(exclude_none=True).encode(),
        headers=[
            ("ce_specversion", b"1.0"),
            ("ce_id", event.event_id.encode()),
            ("ce_type", event.type.encode()),
            ("ce_source", source.encode()),
            ("ce_time", event.occurred_at.isoformat().encode()),
            ("content-type", b"application/json"),
        ],
    )


if __name__ == "__main__":
    uvicorn.run(app, host=settings.host, port=settings.port, loop="uvloop", http="httptools", access_log=False)

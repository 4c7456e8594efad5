"""The administration of sources and their keys over HTTP. Keys are shown once, in the answer that made them."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Final, NoReturn
from uuid import UUID

from fastapi import APIRouter, Depends, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from funnel.errors import Conflict, DatabaseAway
from funnel.failpoints import reach
from funnel.http import HttpProblem
from funnel.postgres import Database, Transaction
from funnel.settings import Settings
from services.ingest.domain.keys import LIVE_MAX, digest_of, hint_of, make_key, random_bytes_of
from services.ingest.domain.receipt import source_fault
from services.ingest.domain.source import (
    ANY_ORIGIN,
    KeyKind,
    Source,
    is_field,
    normalise_origin,
    normalise_redirect,
)
from services.ingest.sources import SourceBook
from services.ingest.store import sources as store

RETRY_SECONDS: Final = 2
LIST_MAX: Final = 100
"""Origins or redirects of one source: all are looked through for a page that is not among them."""
FIELDS_MAX: Final = 200
EVENTS_PER_SECOND_MAX: Final = 1_000_000
MIN_FILL_SECONDS_MAX: Final = 3600
EXPIRY_SECONDS_MAX: Final = 366 * 24 * 3600

_SCHEME: Final = HTTPBearer(scheme_name="admin", description="The value of FUNNEL_ADMIN_TOKEN.", auto_error=False)
_NO_STORE: Final = {"Cache-Control": "no-store"}


def _refuse(detail: str) -> NoReturn:
    raise PydanticCustomError("unfit", "{detail}", {"detail": detail})


def _name(text: str) -> str:
    if fault := source_fault(text):
        _refuse(fault)
    return text


def _origin(text: str) -> str:
    found = text if text == ANY_ORIGIN else normalise_origin(text)
    return found or _refuse("must be a scheme and a host, such as https://www.example.com, or *")


def _redirect(text: str) -> str:
    found = normalise_redirect(text)
    return found or _refuse("must be the beginning of http or https URLs, such as https://www.example.com/thanks/")


def _field_path(text: str) -> str:
    return text if is_field(text) else _refuse("must be a field of ours, such as person.company or properties.size")


def _without_repeats(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


_Name = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"})
]
_Origin = Annotated[str, Field(max_length=300), AfterValidator(_origin)]
_Redirect = Annotated[str, Field(max_length=2000), AfterValidator(_redirect)]
_FormField = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
_FieldPath = Annotated[str, Field(max_length=100), AfterValidator(_field_path)]

_RATE: Final = "What each kind of key may send to one process in the long run, forms apart from the rest."

Origins = Annotated[
    list[_Origin],
    Field(max_length=LIST_MAX, description="Sites whose pages may use the write key; `*` is any."),
    AfterValidator(_without_repeats),
]
Redirects = Annotated[
    list[_Redirect],
    Field(max_length=LIST_MAX, description="Where a form may send people on to, as beginnings of URLs."),
    AfterValidator(_without_repeats),
]
EventsPerSecond = Annotated[
    int,
    Field(strict=True),
    Field(ge=1, le=EVENTS_PER_SECOND_MAX, description=_RATE),
]
Honeypot = Annotated[_FormField, Field(description="Form field that people do not see and leave empty.")]
MinFillSeconds = Annotated[
    float,
    Field(strict=True),
    Field(ge=0, le=MIN_FILL_SECONDS_MAX, allow_inf_nan=False, description="Who fills a form in faster is no person."),
]
Turnstile = Annotated[bool, Field(strict=True, description="Whether forms bring a Turnstile answer.")]
Fields = Annotated[
    dict[_FormField, _FieldPath],
    Field(max_length=FIELDS_MAX, description="Form field -> our field, such as `person.company`."),
]
Active = Annotated[bool, Field(strict=True, description="An inactive source is refused everything.")]

_DEFAULTS: Final = Source("default")


class KeyShown(BaseModel):
    """A live key. `hint` is how it starts."""

    id: UUID
    kind: KeyKind
    hint: str
    created_at: datetime
    expires_at: datetime | None


class SourceShown(BaseModel):
    """A source with its live keys."""

    name: str
    origins: list[str]
    redirects: list[str]
    events_per_second: int
    honeypot: str
    min_fill_seconds: float
    turnstile: bool
    fields: dict[str, str]
    active: bool
    created_at: datetime
    keys: list[KeyShown]


_InForce = Annotated[bool, Field(description="False: stored, but in force only once Postgres can be read again.")]


class NewSourceShown(SourceShown):
    """A new source with its keys, which are shown this once."""

    write_key: str
    secret_key: str
    in_force: _InForce


class SourcesShown(BaseModel):
    sources: list[SourceShown]


class NewSource(BaseModel):
    """A source to add."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    origins: Origins = []
    redirects: Redirects = []
    events_per_second: EventsPerSecond = _DEFAULTS.events_per_second
    honeypot: Honeypot = _DEFAULTS.honeypot
    min_fill_seconds: MinFillSeconds = _DEFAULTS.min_fill_seconds
    turnstile: Turnstile = _DEFAULTS.turnstile
    fields: Fields = {}
    active: Active = True

    def as_source(self) -> Source:
        """The source that is meant."""
        return Source(**self.model_dump() | {"origins": tuple(self.origins), "redirects": tuple(self.redirects)})


class SourceChange(BaseModel):
    """What to change; what is absent stays. A list or an object replaces the whole one."""

    model_config = ConfigDict(extra="forbid")

    origins: Origins | None = None
    redirects: Redirects | None = None
    events_per_second: EventsPerSecond | None = None
    honeypot: Honeypot | None = None
    min_fill_seconds: MinFillSeconds | None = None
    turnstile: Turnstile | None = None
    fields: Fields | None = None
    active: Active | None = None


class Rotation(BaseModel):
    """A new key of a kind. The older ones go on until they are revoked, or for `expires_old_after` seconds."""

    model_config = ConfigDict(extra="forbid")

    kind: KeyKind
    expires_old_after: Annotated[int, Field(strict=True, ge=0, le=EXPIRY_SECONDS_MAX)] | None = None


class NewKeyShown(BaseModel):
    """A new key, which is shown this once."""

    id: UUID
    kind: KeyKind
    key: str
    source: SourceShown
    in_force: _InForce


def routes(database: Database, book: SourceBook, settings: Settings) -> APIRouter:
    """The endpoints. What they change is in force in `book` before they answer, or the answer says that it is not.

    For a change that can be repeated that is 503. A new key is shown all the same, as nobody could ask for it again.
    """
    router = APIRouter(tags=["sources"], dependencies=[Depends(_door(settings))])

    @router.get("/v1/sources", summary="All sources with their live keys.")
    async def sources() -> SourcesShown:
        async with _transaction(database) as tx:
            return SourcesShown(sources=[SourceShown(**row) for row in await store.list_sources(tx)])

    @router.post("/v1/sources", status_code=201, summary="Add a source; its keys are shown this once.")
    async def add(new: NewSource, response: Response) -> NewSourceShown:
        async with _transaction(database) as tx:
            if not await store.add_source(tx, new.as_source()):
                detail = f"There is a source {new.name} already."
                raise HttpProblem(409, "source-exists", "Source exists", detail)
            _, write_key = await _new_key(tx, new.name, KeyKind.WRITE)
            _, secret_key = await _new_key(tx, new.name, KeyKind.SECRET)
            shown = await _one(tx, new.name)
        in_force = await book.reload()
        response.headers.update(_NO_STORE)
        return NewSourceShown(**shown.model_dump(), write_key=write_key, secret_key=secret_key, in_force=in_force)

    @router.get("/v1/sources/{name}", summary="One source.")
    async def source(name: _Name) -> SourceShown:
        async with _transaction(database) as tx:
            return await _one(tx, name)

    @router.patch("/v1/sources/{name}", summary="Change a source.")
    async def change(name: _Name, asked: SourceChange) -> SourceShown:
        async with _transaction(database) as tx:
            await store.change_source(tx, name, **asked.model_dump())
            shown = await _one(tx, name)
        await _put_in_force(book)
        return shown

    @router.post("/v1/sources/{name}/keys", status_code=201, summary="Make a new key; it is shown this once.")
    async def rotate(name: _Name, asked: Rotation, response: Response) -> NewKeyShown:
        async with _transaction(database) as tx:
            key_id, key = await _rotate(tx, name, asked)
            shown = await _one(tx, name)
        in_force = await book.reload()
        response.headers.update(_NO_STORE)
        return NewKeyShown(id=key_id, kind=asked.kind, key=key, source=shown, in_force=in_force)

    @router.delete("/v1/sources/{name}/keys/{key_id}", summary="Revoke a key, at once and for good.")
    async def revoke(name: _Name, key_id: UUID) -> SourceShown:
        async with _transaction(database) as tx:
            await _one(tx, name)
            if not await store.revoke_key(tx, name, key_id):
                raise HttpProblem(404, "no-such-key", "No such key", f"The source {name} has no key with this id.")
            shown = await _one(tx, name)
        await _put_in_force(book)
        return shown

    return router


def _door(settings: Settings) -> Callable[..., Awaitable[None]]:
    """Lets in who has the admin token, and nobody without one being set.

    Not even from this machine: behind a proxy that runs here, everybody comes from here.
    """
    token = settings.admin_token.encode()

    async def admit(given: Annotated[HTTPAuthorizationCredentials | None, Security(_SCHEME)]) -> None:
        if token and given is not None and hmac.compare_digest(given.credentials.encode(), token):
            return
        if token:
            detail = "Sources are managed with the admin token: send it as `Authorization: Bearer TOKEN`."
        else:
            detail = (
                "Sources can be managed once FUNNEL_ADMIN_TOKEN is set for ingest; send the admin token as a Bearer."
            )
        headers = {"WWW-Authenticate": "Bearer"}
        raise HttpProblem(401, "admin-token-required", "Admin token required", detail, headers=headers)

    return admit


async def _put_in_force(book: SourceBook) -> None:
    """Let `book` see a change that is stored. Raises HttpProblem 503 when it cannot be read."""
    if not await book.reload():
        raise _database_away(
            "The change is stored, but it could not be read again, so this process still goes by what was before; "
            "it follows once Postgres answers. Ask again to be told when."
        )


async def _rotate(tx: Transaction, name: str, asked: Rotation) -> tuple[UUID, str]:
    if not await store.lock_source(tx, name):
        raise _no_such_source(name)
    if asked.expires_old_after is not None:
        await store.expire_keys(tx, name, asked.kind, asked.expires_old_after)
    if await store.count_live_keys(tx, name, asked.kind) >= LIVE_MAX:
        detail = f"The source {name} has {LIVE_MAX} {asked.kind} keys already: revoke one first."
        raise HttpProblem(409, "too-many-keys", "Too many keys", detail)
    return await _new_key(tx, name, asked.kind)


async def _new_key(tx: Transaction, source: str, kind: KeyKind) -> tuple[UUID, str]:
    key = make_key(kind, secrets.token_bytes(random_bytes_of(kind)))
    return await store.add_key(tx, source, kind, digest_of(key), hint_of(key)), key


async def _one(tx: Transaction, name: str) -> SourceShown:
    rows = await store.list_sources(tx, name)
    if not rows:
        raise _no_such_source(name)
    return SourceShown(**rows[0])


def _no_such_source(name: str) -> HttpProblem:
    return HttpProblem(404, "no-such-source", "No such source", f"There is no source {name}.")


@asynccontextmanager
async def _transaction(database: Database) -> AsyncIterator[Transaction]:
    """A transaction whose loss is answered with 503, not with a bug's 500."""
    try:
        async with database.transaction() as tx:
            yield tx
            reach("admin.commit.before")
        reach("admin.commit.after")
    except (DatabaseAway, Conflict) as error:
        detail = "Postgres does not answer, so sources cannot be managed now; those in force go on."
        raise _database_away(detail) from error


def _database_away(detail: str) -> HttpProblem:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return HttpProblem(503, "database-away", "Database away", detail, headers=headers)

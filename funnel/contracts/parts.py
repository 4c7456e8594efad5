# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from funnel.contracts.instants import Instant

Mode: TypeAlias = Literal["live", "history"]


Stage: TypeAlias = Literal[
    "new",
    "engaged",
    "mql",
    "sal",
    "sql",
    "opportunity",
    "won",
    "lost",
    "nurture",
    "recycled",
    "disqualified",
    "suppressed",
]


IdentifierKind: TypeAlias = Literal["email", "phone", "visitor", "external"]


class Person(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What is known of the person and their company."""

    name: str | None = None
    name_kana: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    title: str | None = None
    department: str | None = None
    company: str | None = None
    corporate_number: str | None = None
    employees: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    industry: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    postal_code: str | None = None
    message: str | None = None


class Utm(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """Campaign parameters of the visited address."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None


class Reason(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """One rule's points: the sum of the reasons explains the score."""

    rule: str
    points: int


class Identifier(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """One identifier that belongs to the lead, normalised."""

    kind: IdentifierKind
    value: str


class Contact(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """How to reach the person."""

    email: str | None = None
    phone: str | None = None
    name: str | None = None
    company: str | None = None


class Account(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The company the lead belongs to."""

    id: str
    name: str | None = None


class Cause(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The event that caused this record."""

    source: str
    event_id: str


class Identity(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """Who the event is about. At least one identifier is given; the rules of scoring decide which lead
    that is.
    """

    email: str | None = None
    phone: str | None = None
    visitor_id: str | None = None
    external_ids: dict[str, str] | None = None


class Consent(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What the person agreed to. Absent means not asked, which is not a yes."""

    marketing: bool | None = None
    email: bool | None = None
    phone: bool | None = None


OutcomeType: TypeAlias = Literal[
    "attempted",
    "contacted",
    "accepted",
    "rejected",
    "appointment.set",
    "appointment.held",
    "appointment.no_show",
    "appointment.cancelled",
    "opportunity.opened",
    "deal.updated",
    "won",
    "won.cancelled",
    "lost",
    "reopened",
    "recycled",
    "disqualified",
]


Channel: TypeAlias = Literal["phone", "email", "meeting", "other"]


class Amount(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """Money. A decimal string, never a float, with its currency."""

    value: Annotated[str, Meta(pattern="^[0-9]{1,18}(\\.[0-9]{1,6})?$(?!\\n)")]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$(?!\\n)")]


class Touch(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """An event that shows interest, shortened to what tells where a lead came from."""

    type: str
    occurred_at: Instant
    source: str | None = None
    event_id: str | None = None
    page_url: str | None = None
    landing_url: str | None = None
    referrer: str | None = None
    utm: Utm | None = None
    click_ids: dict[str, str] | None = None


class ReportedOutcome(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """An outcome as routing took it."""

    source: str
    event_id: str
    type: OutcomeType
    occurred_at: Instant
    deal_id: str | None = None
    deal_stage: str | None = None
    reason: str | None = None
    amount: Amount | None = None
    rep_id: str | None = None
    channel: Channel | None = None
    flags: list[str] = field(default_factory=list)


AssignmentStatus: TypeAlias = Literal["assigned", "revoked", "closed"]


DealStatus: TypeAlias = Literal["open", "won", "lost"]


class TouchV1(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """An event that shows interest, shortened to what tells where a lead came from."""

    type: str
    occurred_at: Instant
    source: str | None = None
    event_id: str | None = None
    page_url: str | None = None
    referrer: str | None = None
    utm: Utm | None = None
    click_ids: dict[str, str] | None = None


class Rep(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The sales rep who owns the lead."""

    id: str
    name: str | None = None
    email: str | None = None


class Deal(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """One deal of the lead: the unit of opportunities, orders and revenue."""

    deal_id: str
    status: DealStatus
    deal_stage: str | None = None
    amount: Amount | None = None

"""What somebody sent by a form: fields in their order, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from services.ingest.domain.forms.charsets import UTF8


class Field(NamedTuple):
    """One field as it was sent: neither trimmed nor normalised."""

    name: str
    text: str

    @property
    def is_blank(self) -> bool:
        """Whether nothing visible was typed."""
        return not self.text or self.text.isspace()


@dataclass(frozen=True, slots=True)
class HubSpot:
    """What HubSpot's shape says beside the fields, as sent."""

    submitted_at: Any = None
    context: Mapping[str, Any] = field(default_factory=dict)
    consent: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """A form that could be read. `charset` is that of the bytes; `hubspot` is None unless it has HubSpot's shape."""

    fields: tuple[Field, ...]
    charset: str = UTF8
    hubspot: HubSpot | None = None

    @cached_property
    def filled(self) -> tuple[Field, ...]:
        """The fields with something in them."""
        return tuple(one for one in self.fields if not one.is_blank)

    def text(self, name: str) -> str | None:
        """The first text in a field of exactly this name, trimmed; None when there is none."""
        return next((one.text.strip() for one in self.filled if one.name == name), None)

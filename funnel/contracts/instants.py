"""The type of a point in time in a contract."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A time with its offset; one without an offset is refused, since nobody knows when it was."""

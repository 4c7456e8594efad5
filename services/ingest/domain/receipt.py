"""Who sent something, how, and when it reached us: what ingest itself adds to an event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, Literal
from urllib.parse import parse_qsl

from funnel.envelope import format_time
from services.ingest.domain.fields import Fault

Mode = Literal["live", "history"]

DEFAULT_SOURCE: Final = "default"
RESERVED_SOURCES: Final = frozenset({"ingest", "scoring", "routing", "metrics"})
"""The names our services publish under. A client using one could take the identity of their records."""

_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_MODES: Final[Mapping[str, Mode]] = {"live": "live", "history": "history"}
_PARAMETERS_MAX: Final = 50


class BadParameters(Exception):
    """The query string is not acceptable; the pointer of each fault is the parameter's name."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault.pointer} {fault.detail}" for fault in faults))


@dataclass(frozen=True)
class Receipt:
    """`at` is the time of receipt, in UTC."""

    source: str
    mode: Mode
    at: datetime

    @cached_property
    def at_text(self) -> str:
        """`at` as it is written, once for all items of a request."""
        return format_time(self.at)


def read_parameters(query: bytes) -> tuple[str, Mode]:
    """Source and mode from a query string (`source=shop&mode=history`); parameters of others are ignored.

    Raises BadParameters.
    """
    if not query:
        return DEFAULT_SOURCE, "live"
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        raise BadParameters(Fault("", "The query string cannot be read.")) from None
    source, mode = _single(pairs, "source") or DEFAULT_SOURCE, _single(pairs, "mode") or "live"
    if _SOURCE.fullmatch(source) is None:
        detail = "must start with a letter or digit, then up to 63 letters, digits, dots, dashes, colons, underscores"
        raise BadParameters(Fault("source", detail))
    if source in RESERVED_SOURCES:
        raise BadParameters(Fault("source", "is reserved for the services of the funnel"))
    if mode not in _MODES:
        raise BadParameters(Fault("mode", "must be live or history"))
    return source, _MODES[mode]


def _single(pairs: list[tuple[str, str]], name: str) -> str | None:
    given = [value for key, value in pairs if key == name]
    if len(given) > 1:
        raise BadParameters(Fault(name, "must be given once"))
    return given[0] if given else None

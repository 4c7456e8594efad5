"""Who sent something, how, and when it reached us: what ingest itself adds to an event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import parse_qsl

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


@dataclass(frozen=True, slots=True)
class Receipt:
    """`at` is the time of receipt; `sent_at` is what the sender's clock said when it sent the request. Both in UTC."""

    source: str
    mode: Mode
    at: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a query string says: who claims to send (None: nobody), how, and the key in it."""

    source: str | None = None
    mode: Mode = "live"
    key: str | None = None


NO_PARAMETERS: Final = Parameters()


@lru_cache(maxsize=1024)  # a sender puts the same parameters on every request
def read_parameters(query: bytes) -> Parameters:
    """The parameters in a query string (`source=shop&mode=history`); those of others are ignored.

    Raises BadParameters.
    """
    if not query:
        return NO_PARAMETERS
    try:
        pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        raise BadParameters(Fault("", "The query string cannot be read.")) from None
    source, mode = _single(pairs, "source") or None, _single(pairs, "mode") or "live"
    if source is not None and (detail := source_fault(source)):
        raise BadParameters(Fault("source", detail))
    if mode not in _MODES:
        raise BadParameters(Fault("mode", "must be live or history"))
    return Parameters(source, _MODES[mode], _single(pairs, "key") or None)


def read_leniently(query: bytes) -> Parameters:
    """The parameters of a form's address, as far as they can be read: a form is no place to refuse a lead for them."""
    try:
        return read_parameters(query)
    except BadParameters:
        pairs = parse_qsl(query.decode("utf-8", "replace"))
        return Parameters(key=next((value for name, value in pairs if name == "key" and value), None))


def source_fault(name: str) -> str | None:
    """Why `name` cannot be the name of a source, or None."""
    if _SOURCE.fullmatch(name) is None:
        return "must start with a letter or digit, then up to 63 letters, digits, dots, dashes, colons, underscores"
    if name in RESERVED_SOURCES:
        return "is reserved for the services of the funnel"
    return None


def _single(pairs: list[tuple[str, str]], name: str) -> str | None:
    given = [value for key, value in pairs if key == name]
    if len(given) > 1:
        raise BadParameters(Fault(name, "must be given once"))
    return given[0] if given else None

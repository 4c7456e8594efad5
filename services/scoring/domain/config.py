"""`scoring.yaml`: read, checked and turned into values. Every problem names the file, the line and the key."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from funnel.errors import FunnelError
from funnel.yaml_lines import Document, PlainYamlError, parse

ENGAGEMENT_CAP = "engagement cap"
FIT_CAP = "fit cap"
FLOOR = "floor at zero"
_OWN_REASONS = frozenset({ENGAGEMENT_CAP, FIT_CAP, FLOOR})

NUMBER_FIELDS = frozenset({"employees"})
TEXT_FIELDS = frozenset(
    {
        "title", "department", "company", "corporate_number", "industry", "country", "region", "city", "postal_code",
        "email_domain",
    }
)  # fmt: skip
"""What fit rules may look at. Names and messages are left out: they say who somebody is, not whether they match."""

_PLACE = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

_Name = Annotated[str, Meta(min_length=1, max_length=80)]
_Points = Annotated[int, Meta(ge=-1000, le=1000)]
_Threshold = Annotated[int, Meta(ge=0, le=100_000)]
_Texts = Annotated[tuple[_Name, ...], Meta(min_length=1)]


class ConfigError(FunnelError):
    """The scoring rules cannot be used. The message names file, line and key."""


class EngagementRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points for each touch of a type, at most `at_most` times; `page` is a glob on the whole page address."""

    rule: _Name
    type: _Name
    points: _Points
    at_most: Annotated[int, Meta(ge=1)] | None = None
    page: _Name | None = None


class FitRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points for a person or company whose `field` meets every condition given; case and width do not count."""

    rule: _Name
    field: _Name
    points: _Points
    any_of: _Texts | None = None
    contains: _Texts | None = None
    at_least: int | None = None
    at_most: int | None = None
    given: bool | None = None


class _Stages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    engaged: _Threshold
    mql: _Threshold


class _Engagement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cap: _Threshold
    rules: tuple[EngagementRule, ...]


class _Fit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cap: _Threshold
    rules: tuple[FitRule, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stages: _Stages
    grades: dict[_Name, int]
    engagement: _Engagement
    fit: _Fit


@dataclass(frozen=True, slots=True)
class ScoringConfig:
    """Checked rules. `version` changes whenever the file does; `grades` are sorted from the highest score down."""

    version: str
    engaged_from: int
    qualified_from: int
    grades: tuple[tuple[int, str], ...]
    engagement_cap: int
    engagement_rules: tuple[EngagementRule, ...]
    fit_cap: int
    fit_rules: tuple[FitRule, ...]


def parse_config(text: str, name: str) -> ScoringConfig:
    """The rules in `text`, a YAML document called `name` in messages. Raises ConfigError."""
    try:
        document = parse(text)
    except PlainYamlError as problem:
        raise ConfigError(f"{name}, line {problem.line}: {problem.reason}.") from problem
    try:
        file = msgspec.convert(document.value, _File, strict=False)
    except msgspec.ValidationError as error:
        raise _located(document, name, str(error)) from error
    for path, reason in _contradictions(file):
        raise _error(document, name, path, reason)
    return ScoringConfig(
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
        engaged_from=file.stages.engaged,
        qualified_from=file.stages.mql,
        grades=tuple(sorted(((score, grade) for grade, score in file.grades.items()), reverse=True)),
        engagement_cap=file.engagement.cap,
        engagement_rules=file.engagement.rules,
        fit_cap=file.fit.cap,
        fit_rules=file.fit.rules,
    )


_Path = tuple[str | int, ...]


def _contradictions(file: _File) -> Iterator[tuple[_Path, str]]:
    """What the shape alone cannot forbid."""
    yield from _names(file)
    if not file.grades:
        yield ("grades",), "name at least one grade"
    for score, count in Counter(file.grades.values()).items():
        if count > 1:
            yield ("grades",), f"two grades begin at {score}"
    for index, rule in enumerate(file.fit.rules):
        path: _Path = ("fit", "rules", index)
        number, words = rule.field in NUMBER_FIELDS, rule.field in TEXT_FIELDS
        compares = rule.at_least is not None or rule.at_most is not None
        matches = rule.any_of is not None or rule.contains is not None
        if not (number or words):
            known = ", ".join(sorted(NUMBER_FIELDS | TEXT_FIELDS))
            yield (*path, "field"), f"there is no field {rule.field!r}; known are {known}"
        if not (compares or matches or rule.given is not None):
            yield path, "give a condition: any_of, contains, at_least, at_most or given"
        if rule.given is False and (compares or matches):
            yield (*path, "given"), "a field that is not given meets no other condition"
        if compares and not number:
            yield path, f"at_least and at_most compare numbers, and {rule.field} is a text"
        if matches and number:
            yield path, f"any_of and contains compare texts, and {rule.field} is a number"


def _names(file: _File) -> Iterator[tuple[_Path, str]]:
    seen: set[str] = set()
    groups: Mapping[str, tuple[EngagementRule | FitRule, ...]] = {
        "engagement": file.engagement.rules,
        "fit": file.fit.rules,
    }
    for group, rules in groups.items():
        for index, rule in enumerate(rules):
            path: _Path = (group, "rules", index, "rule")
            if rule.rule in seen:
                yield path, f"another rule is called {rule.rule!r}; reasons need distinct names"
            if rule.rule in _OWN_REASONS:
                yield path, f"{rule.rule!r} is a reason the score itself gives"
            seen.add(rule.rule)


def _located(document: Document, name: str, message: str) -> ConfigError:
    """msgspec's message (`.. - at `$.fit.rules[0].points``) with the line it speaks of."""
    match = _PLACE.match(message)
    reason, where = (match["reason"], match["where"] or "") if match else (message, "")
    path: _Path = tuple(int(i) if i.isdigit() else key for key, i in _STEP.findall(where) if key or i != "...")
    if unknown := _UNKNOWN.search(reason):
        path, reason = (*path, unknown[1]), "there is no such setting"
    return _error(document, name, path, reason)


def _error(document: Document, name: str, path: _Path, reason: str) -> ConfigError:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    place = f"{name}, line {document.line_of(path)}"
    return ConfigError(f"{place}: {key + ': ' if key else ''}{reason}.")


def page_pattern(glob: str) -> re.Pattern[str]:
    """The compiled form of a rule's `page`."""
    return re.compile(fnmatch.translate(glob), re.IGNORECASE)

"""`routing.yaml`: which pool a qualified lead goes to, read, checked and turned into values.

Rules are tried in order and the first whose conditions all hold decides; the last has none, so a lead always has a
pool. Every problem in the file names the file, the line and the key.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from funnel.errors import FunnelError
from funnel.yaml_lines import Document, PlainYamlError, parse

NUMBER_FIELDS = frozenset({"score", "fit", "engagement", "employees"})
TEXT_FIELDS = frozenset(
    {
        "grade", "origin", "title", "department", "company", "corporate_number", "industry", "country", "region",
        "city", "postal_code", "email_domain",
    }
)  # fmt: skip
"""What conditions may look at."""

RuleFacts = Mapping[str, str | int | None]
"""What is known of a lead, by the names above; None and a missing key both mean that it is not known."""

CAPACITY_MAX = 100_000
WEIGHT_MAX = 1_000

_PLACE = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

_Name = Annotated[str, Meta(min_length=1, max_length=80)]
_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_Texts = Annotated[tuple[_Name, ...], Meta(min_length=1)]


class RulesError(FunnelError):
    """The routing rules cannot be used. The message names file, line and key."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`field` meets every test given; case and width do not count."""

    field: _Name
    any_of: _Texts | None = None
    contains: _Texts | None = None
    at_least: int | None = None
    at_most: int | None = None
    given: bool | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lead for which all of `when` holds goes to `pool`."""

    rule: _Name
    pool: _Id
    when: tuple[Condition, ...] = ()


class DeclaredMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rep in a pool."""

    rep: _Id
    weight: Annotated[int, Meta(ge=1, le=WEIGHT_MAX)] = 1


class DeclaredRep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rep named in the file. Whether they are active is set while the system runs, not here."""

    id: _Id
    name: _Name
    capacity: Annotated[int, Meta(ge=0, le=CAPACITY_MAX)]
    email: Annotated[str, Meta(max_length=254)] = ""


class _Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    members: tuple[DeclaredMember, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pools: dict[_Id, Any]
    rules: tuple[Rule, ...]
    reps: tuple[DeclaredRep, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """Checked rules. `version` changes whenever the file does."""

    version: str
    pools: Mapping[str, tuple[DeclaredMember, ...]]
    reps: tuple[DeclaredRep, ...]
    rules: tuple[Rule, ...]


def route(rules: RoutingRules, facts: RuleFacts) -> Rule:
    """The first rule that holds for a lead; the last one always does."""
    return next(rule for rule in rules.rules if all(holds(condition, facts) for condition in rule.when))


def holds(condition: Condition, facts: RuleFacts) -> bool:
    """Whether a lead meets the condition. What is not known meets only `given: false`."""
    value = facts.get(condition.field)
    if value is None or value == "":
        return condition.given is False
    if condition.given is False:
        return False
    if isinstance(value, int):
        return (condition.at_least is None or value >= condition.at_least) and (
            condition.at_most is None or value <= condition.at_most
        )
    text = _comparable(value)
    return (condition.any_of is None or text in map(_comparable, condition.any_of)) and (
        condition.contains is None or any(_comparable(part) in text for part in condition.contains)
    )


def parse_rules(text: str, name: str) -> RoutingRules:
    """The rules in `text`, a YAML document called `name` in messages. Raises RulesError."""
    try:
        document = parse(text)
    except PlainYamlError as problem:
        raise RulesError(f"{name}, line {problem.line}: {problem.reason}.") from problem
    try:
        file = msgspec.convert(document.value, _File, strict=False)
    except msgspec.ValidationError as error:
        raise _located(document, name, str(error)) from error
    pools = {pool: _members(document, name, pool, body) for pool, body in file.pools.items()}
    for path, reason in _contradictions(file, pools):
        raise _error(document, name, path, reason)
    return RoutingRules(
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
        pools=pools,
        reps=file.reps,
        rules=file.rules,
    )


def _members(document: Document, name: str, pool: str, body: object) -> tuple[DeclaredMember, ...]:
    """The members under a pool. Read apart, since msgspec does not say under which key of a mapping a problem lies."""
    try:
        return msgspec.convert(body or {}, _Pool, strict=False).members
    except msgspec.ValidationError as error:
        raise _located(document, name, str(error), ("pools", pool)) from error


def _comparable(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


_Path = tuple[str | int, ...]


_Pools = Mapping[str, tuple[DeclaredMember, ...]]


def _contradictions(file: _File, pools: _Pools) -> Iterator[tuple[_Path, str]]:
    """What the shape alone cannot forbid."""
    yield from _rule_contradictions(file)
    yield from _member_contradictions(file, pools)
    for index, rule in enumerate(file.rules):
        for place, condition in enumerate(rule.when):
            for key, reason in _condition_contradictions(condition):
                yield ("rules", index, "when", place, *key), reason


def _rule_contradictions(file: _File) -> Iterator[tuple[_Path, str]]:
    if not file.rules or file.rules[-1].when:
        yield ("rules",), "the last rule must have no `when`, so that every lead has a pool"
    seen: set[str] = set()
    for index, rule in enumerate(file.rules):
        if rule.rule in seen:
            yield ("rules", index, "rule"), f"another rule is called {rule.rule!r}"
        if rule.pool not in file.pools:
            yield ("rules", index, "pool"), f"there is no pool {rule.pool!r} under `pools`"
        if not rule.when and index + 1 < len(file.rules):
            yield ("rules", index), "without `when` it decides for every lead, so the rules after it never would"
        seen.add(rule.rule)


def _member_contradictions(file: _File, pools: _Pools) -> Iterator[tuple[_Path, str]]:
    reps: set[str] = set()
    for index, rep in enumerate(file.reps):
        if rep.id in reps:
            yield ("reps", index, "id"), f"the rep {rep.id!r} stands here a second time"
        reps.add(rep.id)
    for pool, declared in pools.items():
        members: set[str] = set()
        for index, member in enumerate(declared):
            path = ("pools", pool, "members", index, "rep")
            if member.rep not in reps:
                yield path, f"there is no rep {member.rep!r} under `reps`"
            if member.rep in members:
                yield path, f"the rep {member.rep!r} is in this pool already"
            members.add(member.rep)


def _condition_contradictions(condition: Condition) -> Iterator[tuple[_Path, str]]:
    field = condition.field
    number, words = field in NUMBER_FIELDS, field in TEXT_FIELDS
    compares = condition.at_least is not None or condition.at_most is not None
    matches = condition.any_of is not None or condition.contains is not None
    if not (number or words):
        known = ", ".join(sorted(NUMBER_FIELDS | TEXT_FIELDS))
        yield ("field",), f"there is no field {field!r}; known are {known}"
    if not (compares or matches or condition.given is not None):
        yield (), "give a test: any_of, contains, at_least, at_most or given"
    if condition.given is False and (compares or matches):
        yield ("given",), "a field that is not given meets no other test"
    if compares and not number:
        yield (), f"at_least and at_most compare numbers, and {field} is a text"
    if matches and number:
        yield (), f"any_of and contains compare texts, and {field} is a number"


def _located(document: Document, name: str, message: str, above: _Path = ()) -> RulesError:
    """msgspec's message (`.. - at `$.rules[0].pool``) with the line it speaks of."""
    match = _PLACE.match(message)
    reason, where = (match["reason"], match["where"] or "") if match else (message, "")
    path = tuple(int(i) if i.isdigit() else key for key, i in _STEP.findall(where) if key or i != "...")
    return _error(document, name, (*above, *path), reason)


def _error(document: Document, name: str, path: _Path, reason: str) -> RulesError:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    place = f"{name}, line {document.line_of(path)}"
    return RulesError(f"{place}: {key + ': ' if key else ''}{reason}.")

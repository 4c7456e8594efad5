"""Whose event is it? Pure: the identifiers known so far and the events in order, to a lead or visitor for each event.

The first lead that claims an identifier keeps it. An event belongs to the lead of its strongest identifier that some
lead has claimed (e-mail, then phone, then external id, then visitor id), and that lead claims the rest. Two exceptions
keep people apart and lose nothing:

* A visitor known by nothing but a cookie is no lead yet; the event stays with the visitor until somebody is identified.
* Phones and cookies are shared (a switchboard, a tablet at a fair), e-mail addresses and external ids are not. So a
  lead reached only through a phone or a cookie is not taken when it already has another e-mail address, or another id
  in the same system, than the event: the event is somebody else's.

Wherever the identifiers of one event point to several leads the fact is reported, for people or a later merge to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from funnel import ids
from funnel.identifiers import Identifier


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an event says about who it is: its own identity and its identifiers, strongest first."""

    source: str
    event_id: str
    identifiers: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """An event of `lead_id` carried an identifier that `other_lead_id` had claimed."""

    lead_id: str
    other_lead_id: str
    identifier: Identifier
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer for a batch."""

    leads: tuple[str | None, ...]
    """The lead of each event; None where only a visitor is known."""
    created: Mapping[str, int]
    """New leads, and the index of the event that created each."""
    claimed: Mapping[Identifier, str]
    """Identifiers that had no lead before and have one now."""
    conflicts: tuple[Conflict, ...]


def resolve(
    bindings: Mapping[Identifier, str | None],
    identifiers_of: Mapping[str, Sequence[Identifier]],
    sightings: Sequence[Sighting],
    promised: Mapping[Identifier, str] = MappingProxyType({}),
) -> Resolution:
    """Give each event its lead.

    `bindings` holds the lead of each known identifier, None for one that nobody has claimed; `identifiers_of` holds
    what each lead in `bindings` has claimed. `promised` holds the lead that had claimed an identifier before a failover
    took it out of the database: an event that is about it by its own identifier is that lead's, known or not.
    """
    claims = {identifier: lead for identifier, lead in bindings.items() if lead is not None}
    owned = {lead: set(identifiers) for lead, identifiers in identifiers_of.items()}
    created: dict[str, int] = {}
    claimed: dict[Identifier, str] = {}
    conflicts: list[Conflict] = []
    leads: list[str | None] = []
    for index, sighting in enumerate(sightings):
        lead, others = _choose(sighting.identifiers, claims, owned)
        own = _own(sighting.identifiers)
        if own in promised and own not in claims:
            lead = promised[own]
            others = [(one, claims[one]) for one in sighting.identifiers if claims.get(one, lead) != lead]
        if lead is None and sighting.identifiers[0].kind != "visitor":
            lead = ids.lead_id(sighting.source, sighting.event_id)
        if lead is not None and lead not in owned:
            created[lead] = index
            owned[lead] = set()
        leads.append(lead)
        if lead is None:
            continue
        for identifier in sighting.identifiers:
            if identifier not in claims and promised.get(identifier, lead) == lead:
                claims[identifier] = claimed[identifier] = lead
                owned[lead].add(identifier)
        for identifier, other in others:
            conflicts.append(Conflict(lead, other, identifier, sighting.source, sighting.event_id))
    return Resolution(tuple(leads), created, claimed, tuple(conflicts))


def _choose(
    identifiers: Sequence[Identifier],
    claims: Mapping[Identifier, str],
    owned: Mapping[str, set[Identifier]],
) -> tuple[str | None, list[tuple[Identifier, str]]]:
    """The lead of an event, and the identifiers in it that belong to other leads."""
    lead: str | None = None
    pointing: list[tuple[Identifier, str]] = []
    for identifier in identifiers:
        claimant = claims.get(identifier)
        if claimant is None:
            continue
        pointing.append((identifier, claimant))
        if lead is None and not _somebody_else(identifier, identifiers, owned[claimant]):
            lead = claimant
    return lead, [pair for pair in pointing if pair[1] != lead]


def _own(identifiers: Sequence[Identifier]) -> Identifier:
    """The strongest identifier that only one person has, else the strongest."""
    return next((one for one in identifiers if one.kind in ("email", "external")), identifiers[0])


def _somebody_else(through: Identifier, identifiers: Sequence[Identifier], owned: set[Identifier]) -> bool:
    """Whether the lead that owns `owned`, reached through `through`, is another person than the event's."""
    if through.kind not in ("phone", "visitor"):
        return False
    for identifier in identifiers:
        if identifier in owned or identifier.kind in ("phone", "visitor"):
            continue
        if any(_slot(identifier) == _slot(other) for other in owned):
            return True
    return False


def _slot(identifier: Identifier) -> tuple[str, str]:
    """What one person has only one of: an e-mail address, an id per external system."""
    system = identifier.value.partition(":")[0] if identifier.kind == "external" else ""
    return identifier.kind, system

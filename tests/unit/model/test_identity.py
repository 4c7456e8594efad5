"""Who is who, over many batches, against a model that looks at one event after the other and nothing else."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from funnel import ids
from funnel.identifiers import Identifier
from services.scoring.domain.identity import Sighting, resolve

STRENGTH = ("email", "phone", "external", "visitor")
IDENTIFIERS = [
    *(Identifier("email", f"{one}@example.com") for one in "abc"),
    *(Identifier("phone", f"+8131234567{one}") for one in "12"),
    *(Identifier("external", one) for one in ("crm:1", "crm:2", "web:1")),
    *(Identifier("visitor", f"v{one}") for one in "12"),
]
SIGHTED = st.lists(st.sampled_from(IDENTIFIERS), min_size=1, max_size=4, unique=True).map(
    lambda some: tuple(sorted(some, key=lambda one: (STRENGTH.index(one.kind), one.value)))
)


class Registry:
    """The model: who owns each identifier. The first to claim one keeps it."""

    def __init__(self) -> None:
        self.owner: dict[Identifier, str] = {}

    def see(self, sighting: Sighting) -> str | None:
        lead = next((self.owner[one] for one in sighting.identifiers if self._leads_to(one, sighting)), None)
        if lead is None:
            if all(one.kind == "visitor" for one in sighting.identifiers):
                return None
            lead = ids.lead_id(sighting.source, sighting.event_id)
        for one in sighting.identifiers:
            self.owner.setdefault(one, lead)
        return lead

    def _leads_to(self, one: Identifier, sighting: Sighting) -> bool:
        """Whether the owner of `one` is whom the event is about: what people share does not prove it."""
        if one not in self.owner:
            return False
        if one.kind in ("email", "external"):
            return True
        theirs = [other for other, lead in self.owner.items() if lead == self.owner[one]]
        for mine in sighting.identifiers:
            if mine.kind in ("email", "external") and mine not in theirs:
                system = mine.value.split(":")[0] if mine.kind == "external" else None
                rivals = [other for other in theirs if other.kind == mine.kind]
                if any(system is None or other.value.split(":")[0] == system for other in rivals):
                    return False
        return True


class Identity(RuleBasedStateMachine):
    """The tables: each batch sees only the rows it points to, as the handler loads them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Registry()
        self.claims: dict[Identifier, str] = {}
        self.events = 0
        self.conflicts = 0

    @rule(batch=st.lists(SIGHTED, min_size=1, max_size=5))
    def events_come(self, batch: list[tuple[Identifier, ...]]) -> None:
        sightings = []
        for some in batch:
            self.events += 1
            sightings.append(Sighting("test", f"e{self.events}", some))
        bindings = {one: self.claims.get(one) for some in batch for one in some}
        pointed = {lead for lead in bindings.values() if lead is not None}
        owned = {lead: [one for one, owner in self.claims.items() if owner == lead] for lead in pointed}

        resolution = resolve(bindings, owned, sightings)

        assert list(resolution.leads) == [self.model.see(one) for one in sightings]
        assert not resolution.claimed.keys() & self.claims.keys(), "an identifier was claimed a second time"
        self.claims |= resolution.claimed
        for conflict in resolution.conflicts:
            assert self.claims[conflict.identifier] == conflict.other_lead_id != conflict.lead_id
        for index, sighting in enumerate(sightings):
            lead = resolution.leads[index]
            told = {one.identifier for one in resolution.conflicts if one.event_id == sighting.event_id}
            elsewhere = {one for one in sighting.identifiers if self.claims.get(one, lead) != lead}
            assert lead is None or told == elsewhere, "an identifier of somebody else went unreported"

    @invariant()
    def tables_and_model_agree(self) -> None:
        assert self.claims == self.model.owner


TestIdentity = Identity.TestCase
TestIdentity.settings = settings(max_examples=100, stateful_step_count=12, deadline=None)

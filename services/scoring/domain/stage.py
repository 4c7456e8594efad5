"""How far marketing has brought a lead: `new -> engaged -> mql`. Sales takes it from there."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """The stages scoring gives. The others of the funnel belong to sales."""

    NEW = "new"
    ENGAGED = "engaged"
    MARKETING_QUALIFIED = "mql"


TRANSITIONS: Mapping[Stage, Stage | None] = MappingProxyType(
    {
        Stage.NEW: Stage.ENGAGED,
        Stage.ENGAGED: Stage.MARKETING_QUALIFIED,
        Stage.MARKETING_QUALIFIED: None,
    }
)
"""The one way on from each stage. There is no way back: a score that falls does not take a lead from its rep."""


def advance(stage: Stage, *, engagement: int, score: int, live: bool, engaged_from: int, qualified_from: int) -> Stage:
    """The stage after an event that left the lead with these points; one event may take several steps.

    `live` is False for an event told after the fact, which never qualifies a lead.
    """
    reached = {
        Stage.ENGAGED: engagement >= engaged_from,
        Stage.MARKETING_QUALIFIED: live and score >= qualified_from,
    }
    while (following := TRANSITIONS[stage]) is not None and reached[following]:
        stage = following
    return stage

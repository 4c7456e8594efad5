"""The score of a lead: points for who they are (fit) and for what they did (engagement), each with its reasons.

A score is a function of what is known of the person and of how often each engagement rule has matched, so it can be
kept up to date touch by touch and is the same in whatever order the touches came.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from funnel.contracts import Reason
from services.scoring.domain.config import (
    ENGAGEMENT_CAP,
    FIT_CAP,
    FLOOR,
    FitRule,
    ScoringConfig,
    page_pattern,
)

Fields = Mapping[str, Any]
Predicate = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Score:
    """`total` = `fit` + `engagement` = the sum of the reasons' points, and is never below zero."""

    total: int
    fit: int
    engagement: int
    reasons: tuple[Reason, ...]


class Scorer:
    """The rules of one configuration, compiled once into closures."""

    def __init__(self, config: ScoringConfig) -> None:
        self.config = config
        self._weights = [(rule.rule, rule.points, rule.at_most) for rule in config.engagement_rules]
        self._fit = [(rule.field, _predicate(rule), _reason(rule.rule, rule.points)) for rule in config.fit_rules]
        self._always: dict[str, tuple[str, ...]] = {}
        self._on_page: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        for rule in config.engagement_rules:
            if rule.page is None:
                self._always[rule.type] = (*self._always.get(rule.type, ()), rule.rule)
            else:
                self._on_page.setdefault(rule.type, []).append((page_pattern(rule.page), rule.rule))

    def matches(self, event_type: str, page_url: str | None) -> tuple[str, ...]:
        """Names of the engagement rules that a touch counts for."""
        names = self._always.get(event_type, ())
        if page_url and event_type in self._on_page:
            names += tuple(name for page, name in self._on_page[event_type] if page.match(page_url))
        return names

    def score(self, fields: Fields, counts: Mapping[str, int]) -> Score:
        """The score of a person with these `fields` whose touches matched each rule `counts` times."""
        reasons: list[Reason] = []
        engagement = self._engagement(counts, reasons)
        fit = 0
        for field, holds, reason in self._fit:
            if holds(fields.get(field)):
                fit += reason.points
                reasons.append(reason)
        if fit > self.config.fit_cap:
            reasons.append(_reason(FIT_CAP, self.config.fit_cap - fit))
            fit = self.config.fit_cap
        if fit + engagement < 0:
            reasons.append(_reason(FLOOR, -fit - engagement))
            fit = -engagement
        return Score(fit + engagement, fit, engagement, tuple(reasons))

    def grade(self, total: int) -> str | None:
        """The letter of the highest band that `total` reaches; None below the lowest."""
        for lowest, grade in self.config.grades:
            if total >= lowest:
                return grade
        return None

    def _engagement(self, counts: Mapping[str, int], reasons: list[Reason]) -> int:
        total = 0
        for name, points, at_most in self._weights:
            times = counts.get(name)
            if times:
                earned = points * (times if at_most is None or times < at_most else at_most)
                total += earned
                reasons.append(_reason(name, earned))
        if total > self.config.engagement_cap:
            reasons.append(_reason(ENGAGEMENT_CAP, self.config.engagement_cap - total))
            total = self.config.engagement_cap
        return total


def _reason(rule: str, points: int) -> Reason:
    return Reason(rule=rule, points=points)


def _predicate(rule: FitRule) -> Predicate:
    """Whether a field's value meets every condition of `rule`. An absent value meets `given: false` alone."""
    conditions: list[Predicate] = []
    if rule.any_of is not None:
        wanted = frozenset(map(folded, rule.any_of))
        conditions.append(lambda value: folded(value) in wanted)
    if rule.contains is not None:
        parts = tuple(map(folded, rule.contains))
        conditions.append(lambda value: any(part in folded(value) for part in parts))
    if (least := rule.at_least) is not None:
        conditions.append(lambda value: value >= least)
    if (most := rule.at_most) is not None:
        conditions.append(lambda value: value <= most)
    if rule.given is False:
        return lambda value: value is None
    return lambda value: value is not None and all(condition(value) for condition in conditions)


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """`text` without differences of case and width."""
    return unicodedata.normalize("NFKC", text).casefold()

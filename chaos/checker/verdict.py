"""What the checker says: findings, one per rule, and the verdict they make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Category(StrEnum):
    """What kind of anomaly it is. The first six are those of Jepsen's checker of Kafka."""

    LOST = "lost"
    """It was promised, or is a consequence of what is there, and is in no place where it may be."""
    DUPLICATED = "duplicated"
    """One thing had two effects."""
    REORDERED = "reordered"
    """The first occurrences of one lead's records are not in their order."""
    ABORTED_READ = "aborted-read"
    """It can be read, and the transaction that would have made it was never committed (or it was refused)."""
    DIVERGED = "diverged"
    """Two places tell different things about the same id."""
    BACKWARDS = "backwards"
    """A position or an epoch went back."""
    STUCK = "stuck"
    """Nothing was done that could be done."""
    OVERFULL = "overfull"
    """A rep was given more than they may have."""
    UNACCOUNTED = "unaccounted"
    """A number does not add up."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where an invariant does not hold. `what` is the id it is about."""

    invariant: str
    category: Category
    what: str
    detail: str


@dataclass(slots=True)
class Finding:
    """What one rule found: how many items it looked at, and which of them are not as promised.

    `skipped` says why the rule could not look at anything; None when it did.
    """

    invariant: str
    says: str
    checked: int = 0
    skipped: str | None = None
    violations: list[Violation] = field(default_factory=list)

    def report(self, category: Category, what: str, detail: str, invariant: str | None = None) -> None:
        """Note a violation; `invariant` where it belongs to another one than the rule."""
        self.violations.append(Violation(invariant or self.invariant, category, what, detail))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole answer. `counts` are figures of the run, for its report."""

    findings: Sequence[Finding]
    counts: Mapping[str, Any]

    @property
    def violations(self) -> list[Violation]:
        """Everything that is not as promised."""
        return [violation for finding in self.findings for violation in finding.violations]

    @property
    def ok(self) -> bool:
        """Whether nothing was found. A rule that was skipped found nothing."""
        return not any(finding.violations for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {"ok": self.ok, "counts": dict(self.counts), "findings": [asdict(one) for one in self.findings]}

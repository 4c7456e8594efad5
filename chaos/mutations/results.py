"""What the trials showed: kept in a file as they come, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaos.mutations.mutation import Mutation
from chaos.mutations.trial import Outcome, Verdict


@dataclass
class Results:
    """Results for one state of the tree; those of another are forgotten. `file` None: nothing is kept."""

    tree: str
    file: Path | None = None
    green: set[str] = field(default_factory=set)
    """Tests that are green on the code as it is."""
    mutants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name of the mutation."""

    @classmethod
    def load(cls, file: Path, tree: str, *, fresh: bool) -> Results:
        """What `file` knows of this tree; nothing when `fresh`."""
        if fresh or not file.is_file():
            return cls(tree, file)
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["tree"] != tree:
            return cls(tree, file)
        return cls(tree, file, set(kept["green"]), kept["mutants"])

    def add_green(self, tests: Sequence[str]) -> None:
        """The tests passed on the code as it is."""
        self.green.update(tests)
        self._save()

    def add(self, mutation: Mutation, outcome: Outcome) -> None:
        """What became of a mutant."""
        self.mutants[mutation.name] = {"safeguard": mutation.safeguard, "test": mutation.test, **asdict(outcome)}
        self._save()

    def knows(self, mutation: Mutation) -> bool:
        """Whether the mutant was tried and a test noticed."""
        kept = self.mutants.get(mutation.name)
        return kept is not None and kept["verdict"] == Verdict.RED and kept["test"] == mutation.test

    def _save(self) -> None:
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        kept = {"tree": self.tree, "green": sorted(self.green), "mutants": self.mutants}
        started = self.file.with_suffix(".new")
        started.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        started.replace(self.file)

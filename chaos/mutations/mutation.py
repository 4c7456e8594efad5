"""One safeguard, how it is taken out, and the test that must notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The code has changed under a mutation; says where and why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands in `file` (from the root of the repository) exactly once, and `new` is put in its place."""

    file: str
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """`text` with the edit made. Raises DoesNotApply."""
        if (count := text.count(self.old)) != 1:
            raise DoesNotApply(f"{self.file}: found {count} times, expected once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutation:
    """`safeguard` and `without` are sentences for people: what holds, and what happens when it does not.

    `removed` says in a few words what the edits take out. `test` is the node id of a test, or of a function with all
    its parameters, that is green on the code as it is and red without the safeguard.
    """

    name: str
    safeguard: str
    removed: str
    without: str
    edits: tuple[Edit, ...]
    test: str

    def apply(self, root: Path) -> None:
        """Make the edits in the tree at `root`. Raises DoesNotApply and then changes nothing."""
        for file, text in self.mutated(root).items():
            (root / file).write_text(text, encoding="utf-8")

    def mutated(self, root: Path) -> dict[str, str]:
        """The changed files by name, as they are to be. Raises DoesNotApply."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            path = root / edit.file
            if not path.is_file():
                raise DoesNotApply(f"{self.name}: there is no file {edit.file}")
            try:
                texts[edit.file] = edit.applied_to(texts.get(edit.file) or path.read_text(encoding="utf-8"))
            except DoesNotApply as error:
                raise DoesNotApply(f"{self.name}: {error}") from None
        for file, text in texts.items():
            if file.endswith(".py"):
                _parse(self.name, file, text)
        return texts

    def check_test(self, root: Path) -> None:
        """The named test exists. Raises DoesNotApply."""
        file, _, rest = self.test.partition("::")
        path = root / file
        if not path.is_file():
            raise DoesNotApply(f"{self.name}: there is no file {file}")
        function = rest.partition("[")[0]
        if function not in set(_functions(path)):
            raise DoesNotApply(f"{self.name}: {file} has no test {function or '(none named)'}")


def _parse(name: str, file: str, text: str) -> None:
    """A mutant that is no Python would turn every test red and prove nothing."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise DoesNotApply(f"{name}: {file} would be no Python any more ({error})") from None


def _functions(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name

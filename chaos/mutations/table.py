"""docs/mutations.md, made from the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaos.mutations.mutation import Mutation

PLACE = "docs/mutations.md"

_HEAD = """\
# Mutation proof

A safeguard is worth what happens when it is missing. `make mutants` takes each of these {count} safeguards out of a
copy of the code, one at a time, and runs the test named beside it, on a real Kafka and a real PostgreSQL where it needs
them. The test is green on the code as it is; without the safeguard it must go red, or the run fails: a safeguard whose
absence no test notices can be lost by anybody.

`python -m chaos.mutations --list` prints the names, `--only NAME` tries some. The results, with the message of each
red test, are in `.funnel/mutations.json`; a run that was stopped goes on where it was. A test of `make test` holds this
page and the list together, and checks that every mutation still fits the code.
"""


def page(areas: Mapping[str, Sequence[Mutation]]) -> str:
    """The whole page."""
    count = sum(map(len, areas.values()))
    return "\n".join([_HEAD.format(count=count), *(_area(title, area) for title, area in areas.items())])


def _area(title: str, mutations: Sequence[Mutation]) -> str:
    rows = "\n".join(_row(one) for one in mutations)
    return f"## {title}\n\n| Safeguard | Taken out | Red without it | What would happen |\n|---|---|---|---|\n{rows}\n"


def _row(one: Mutation) -> str:
    file, _, test = one.test.partition("::")
    changed = ", ".join(sorted({f"`{edit.file}`" for edit in one.edits}))
    cells = (one.safeguard, f"{one.removed} ({changed})", f"[{_words(test)}](../{file})", one.without)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _words(test: str) -> str:
    name, _, case = test.removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f" ({case.removesuffix(']')})" if case else "")

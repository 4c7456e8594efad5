"""Children of a supervisor that was killed: who they are, and who of them the next one takes over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from funnel.embedded.process import Identity, Program
from funnel.embedded.state import StackState

# Every child carries these, so that one started a moment before its supervisor was killed is found although the
# supervisor never wrote it down.
HOME_VARIABLE = "FUNNEL_HOME"
NAME_VARIABLE = "FUNNEL_CHILD"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A live process of an earlier supervisor. `fingerprint` is empty when it was not written down."""

    name: str
    identity: Identity
    fingerprint: str


def fingerprint(program: Program) -> str:
    """The same for two programs that would run the same way."""
    parts = [*program.argv, *(f"{name}={value}" for name, value in sorted(program.environment.items()))]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def choose(orphans: Iterable[Orphan], wanted: Mapping[str, str]) -> tuple[dict[str, Orphan], list[Orphan]]:
    """Sort orphans into those to adopt, by name, and those to stop. `wanted` maps names to fingerprints.

    One that would be started differently today is stopped, and so is a second one of a name.
    """
    adopted: dict[str, Orphan] = {}
    others: list[Orphan] = []
    for orphan in orphans:
        if orphan.fingerprint == wanted.get(orphan.name) and orphan.name not in adopted:
            adopted[orphan.name] = orphan
        else:
            others.append(orphan)
    return adopted, others


def find(home: Path, state: StackState | None) -> list[Orphan]:
    """Live children of earlier supervisors of `home`: those written down in `state`, then any that carry its mark."""
    recorded = _recorded(state)
    known = {orphan.identity.pid for orphan in recorded}
    return recorded + [orphan for orphan in _marked(home) if orphan.identity.pid not in known]


def _recorded(state: StackState | None) -> list[Orphan]:
    return [
        Orphan(child.name, child.identity, child.fingerprint)
        for child in (state.children if state else ())
        if child.identity is not None and child.identity.find() is not None
    ]


def _marked(home: Path) -> Sequence[Orphan]:
    marked: dict[int, tuple[psutil.Process, str]] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(HOME_VARIABLE) == str(home) and (name := environment.get(NAME_VARIABLE)):
                marked[process.pid] = (process, name)
        except psutil.Error:
            continue  # ended meanwhile, or belongs to somebody else
    found = []
    for process, name in marked.values():
        try:
            if process.ppid() not in marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(Orphan(name, Identity(process.pid, process.create_time()), ""))
        except psutil.NoSuchProcess:
            continue
    return found

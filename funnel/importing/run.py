"""One import, from a file to ingest: read, convert, deliver, note what was rejected, remember how far."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from funnel.importing.checkpoint import Checkpoint, CheckpointFile
from funnel.importing.mapping import ImportMapping
from funnel.importing.posting import BATCH_BYTES, BATCH_ITEMS, Ingest
from funnel.importing.rejects import RejectsFile
from funnel.importing.rows import Converter, Entry, Item, Rejection, Repeat, entries
from funnel.importing.sheet import Sheet, SheetError, open_sheet

GROUP_ROWS = 5 * BATCH_ITEMS
"""Rows between two checkpoints when most of them are rejected or repeats."""

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file holds, to recognise it again, and about how many lines (for progress)."""

    digest: str
    lines: int


def fingerprint(path: Path) -> Fingerprint:
    """Read the whole file once. Raises SheetError when it cannot be read."""
    digest, lines = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
                lines += block.count(b"\n")
    except OSError as error:
        raise SheetError(f"{path}: {error.strerror or error}") from error
    return Fingerprint(digest.hexdigest(), lines)


@dataclass(frozen=True, slots=True)
class Job:
    """What one import reads and writes."""

    path: Path
    mapping: ImportMapping
    rejects: Path
    checkpoints: CheckpointFile


def run(job: Job, ingest: Ingest, report: Callable[[Checkpoint], None]) -> Checkpoint:
    """Import the rows that the job's checkpoint does not cover yet; `report` is told after every batch.

    Returns the totals, those of an interrupted earlier run included. Stopping it at any moment is safe: the
    rows in hand are posted again by the next run. Raises SheetError, IngestAway, IngestRefused.
    """
    with open_sheet(job.path, job.mapping.encoding) as file:
        sheet = Sheet(file, job.mapping.delimiter)
        converter = Converter(job.mapping, sheet.header)
        ingest.check_reachable()
        state = job.checkpoints.load()
        rejects = RejectsFile(
            job.rejects, header=sheet.header, delimiter=job.mapping.delimiter, encoding=job.mapping.encoding
        )
        rejects.begin(state.rejects_bytes)
        rest = (entry for entry in entries(sheet, converter) if entry.row.line > state.line)
        for group in _groups(rest):
            state = _settle(group, state, converter, ingest, rejects)
            job.checkpoints.save(state)
            report(state)
    job.checkpoints.clear()
    return state


def _settle(
    group: list[Entry], state: Checkpoint, converter: Converter, ingest: Ingest, rejects: RejectsFile
) -> Checkpoint:
    delivery = ingest.deliver([entry for entry in group if isinstance(entry, Item)])
    rejected = [entry for entry in group if isinstance(entry, Rejection)]
    rejected += [converter.refused(item, detail) for item, detail in delivery.refused]
    rejected.sort(key=lambda rejection: rejection.row.line)
    return msgspec.structs.replace(
        state,
        line=group[-1].row.line,
        accepted=state.accepted + delivery.accepted,
        repeats=state.repeats + sum(isinstance(entry, Repeat) for entry in group),
        rejected=state.rejected + len(rejected),
        rejects_bytes=rejects.add(rejected),
    )


def _groups(rows: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries in order, in lists whose items ingest takes in one request."""
    group: list[Entry] = []
    items = size = 0
    for entry in rows:
        length = len(entry.encoded) if isinstance(entry, Item) else 0
        if group and (items == BATCH_ITEMS or size + length > BATCH_BYTES or len(group) == GROUP_ROWS):
            yield group
            group, items, size = [], 0, 0
        group.append(entry)
        items += length > 0
        size += length
    if group:
        yield group

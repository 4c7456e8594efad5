"""How far an import has come: a small file per (spreadsheet, mapping, address), so that it can go on later.

Losing it costs nothing but time, since a row posted twice has its effect once.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every row up to the one beginning on `line` is settled; `rejects_bytes` is what the rejects take."""

    line: int = 0
    accepted: int = 0
    repeats: int = 0
    rejected: int = 0
    rejects_bytes: int = 0

    @property
    def rows(self) -> int:
        """Rows settled so far."""
        return self.accepted + self.repeats + self.rejected


class CheckpointFile:
    """The file of one import; at most one process writes it."""

    def __init__(self, folder: Path, *identity: str) -> None:
        """`identity` is what must be the same for an import to go on: contents, mapping and address."""
        digest = hashlib.blake2b("\n".join(identity).encode(), digest_size=12).hexdigest()
        self.path = folder / f"{digest}.json"

    def load(self) -> Checkpoint:
        """Where to go on; the beginning when there is no file, or an unreadable one."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
        except (FileNotFoundError, msgspec.DecodeError):
            return Checkpoint()

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the file in one step, so that a crash leaves the old one or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(checkpoint))
        os.replace(new, self.path)

    def clear(self) -> None:
        """Forget it: the import is complete, or shall begin again."""
        self.path.unlink(missing_ok=True)

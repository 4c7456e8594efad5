"""The history of one row in a folder: what clients were told, what was injected, what was seen meanwhile.

It is all that the checker knows. JSON lines, written as they happen, so that a run that is killed leaves what it saw.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

Phase = Literal["inject", "heal"]


class History:
    """An empty history in `folder`; what was there before is removed."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self._files: dict[str, IO[str]] = {}
        self.faults = 0
        self.open: list[str] = []
        """What was injected and not healed yet."""
        self.kills = 0
        self.measured: dict[str, list[float]] = {}
        """What a row measured, by name: it goes into the report as it is, and nobody judges it."""

    def answer(self, line: Mapping[str, Any]) -> None:
        """One item of one request."""
        self._write("answers", line)

    def sample(self, line: Mapping[str, Any]) -> None:
        """Positions and lag at one moment."""
        self._write("samples", line)

    def fault(self, row: int | str, phase: Phase, what: str, detail: str = "", kills: int | None = None) -> None:
        """A fault was injected, or healed under the same `what`.

        `kills`: how many processes were killed; when not told, one if `what` begins with "kill".
        """
        if phase == "inject":
            self.faults += 1
            self.kills += what.startswith("kill") if kills is None else kills
            self.open.append(what)
        elif what in self.open:
            self.open.remove(what)
        self._write("faults", {"at": time.time(), "row": row, "what": what, "phase": phase, "detail": detail})

    def loss(self, line: Mapping[str, Any]) -> None:
        """A record that was taken from a service before it read it: service, topic, partition, offset, source and
        event_id. Nobody can apply it; a person has to give it up."""
        self._write("losses", line)

    def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a whole file, `name`.json."""
        (self.folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Nothing more will happen."""
        for name in ("answers", "faults", "samples"):
            self._open(name)  # the checker finds every file, an empty one too
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write(self, name: str, line: Mapping[str, Any]) -> None:
        self._open(name).write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _open(self, name: str) -> IO[str]:
        if name not in self._files:
            self._files[name] = (self.folder / f"{name}.jsonl").open("a", encoding="utf-8", buffering=1)
        return self._files[name]

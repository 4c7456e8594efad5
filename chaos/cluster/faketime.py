"""Clocks that are wrong: libfaketime, preloaded into a process, its offset in a file that may change meanwhile."""

from __future__ import annotations

from pathlib import Path

from chaos.errors import NotPossible

_PLACES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
)


def library() -> Path:
    """The library, made for programs with threads. Raises NotPossible when it is not installed."""
    found = next((path for path in map(Path, _PLACES) if path.exists()), None)
    if found is None:
        raise NotPossible("libfaketime is not installed (Debian: apt install libfaketime)")
    return found


class Clock:
    """The clock of all processes that got its `environment`: right until `shift`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.shift(0)

    def environment(self) -> dict[str, str]:
        """Variables of a process with this clock. Monotonic clocks stay true, as they do when a clock is set."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, seconds: float) -> None:
        """From now on (a second later at most) so far from the truth; forward when positive."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{seconds:+g}\n", encoding="ascii")
        draft.replace(self._file)

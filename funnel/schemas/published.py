"""Guards published schema versions: `schemas/published.json` holds the sha256 of each, and it never changes.

Others wrote their tools against a published version. What has to change becomes the next version.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

_LOCK: Final = "published.json"
_SUFFIX: Final = ".schema.json"


def broken(root: Path) -> list[str]:
    """One sentence per published version that is gone or no longer what it was."""
    now = _sums(root)
    found = []
    for name, was in _locked(root).items():
        if name not in now:
            found.append(f"schemas/events/{name}{_SUFFIX} is published and must not be removed")
        elif now[name] != was:
            found.append(f"schemas/events/{name}{_SUFFIX} is published and must not change; write the next version")
    return found


def unpublished(root: Path) -> list[str]:
    """Schemas that are still drafts: no topic may carry them yet."""
    return sorted(_sums(root).keys() - _locked(root).keys())


def lock(root: Path) -> None:
    """Add the drafts to the lock file. What it holds already stays as it is."""
    text = json.dumps({**_sums(root), **_locked(root)}, indent=2, sort_keys=True)
    (root / _LOCK).write_text(text + "\n", encoding="utf-8")


def _sums(root: Path) -> dict[str, str]:
    paths = (root / "events").glob(f"*{_SUFFIX}")
    return {path.name.removesuffix(_SUFFIX): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _locked(root: Path) -> dict[str, str]:
    path = root / _LOCK
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

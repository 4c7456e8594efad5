"""Finds `schemas/` at the root of the repository, the source of truth for what is on our topics, and reads it.

In a checkout the folder lies at the root; an installed package carries a copy of it in here.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from funnel.errors import FunnelError

DATASCHEMA: Final = re.compile(r"([a-z][a-z0-9_]*)\.v([1-9][0-9]*)")
"""`lead_event.v1`: the name of a schema and its version, as the header `ce_dataschema` carries it."""

_SUFFIX: Final = ".schema.json"


class BadSchemas(FunnelError):
    """A file below `schemas/` is missing or wrong."""


@cache
def folder() -> Path:
    """Where `schemas/` is. Raises BadSchemas when the installation lacks it."""
    package = Path(__file__).parent
    for candidate in (package.parents[1] / "schemas", package / "files"):
        if (candidate / "topics").is_dir():
            return candidate
    raise BadSchemas(f"no schemas/ folder for {package}; install the funnel package again")


def documents(root: Path | None = None) -> dict[str, dict[str, Any]]:
    """Dataschema (`lead_event.v1`) -> JSON Schema, by name and then by version."""
    paths = ((root or folder()) / "events").glob(f"*{_SUFFIX}")
    found = {path.name.removesuffix(_SUFFIX): json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {name: found[name] for name in sorted(found, key=split)}


def split(dataschema: str) -> tuple[str, int]:
    """`lead_event.v1` -> `("lead_event", 1)`. Raises BadSchemas for anything of another form."""
    match = DATASCHEMA.fullmatch(dataschema)
    if match is None:
        raise BadSchemas(f"{dataschema!r} does not name a schema and its version, as lead_event.v1 does")
    return match[1], int(match[2])

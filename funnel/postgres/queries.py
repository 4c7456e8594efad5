"""SQL kept in named statements: `-- name: lock_leads` opens one, the next name or the file's end closes it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

Queries = Mapping[str, str]

_MARK = "-- name:"


def load_queries(package: str) -> Queries:
    """Every named statement of the `*.sql` files in `package`.

    Raises ValueError for a name used twice or for text before the first name.
    """
    queries: dict[str, str] = {}
    files = (f for f in resources.files(package).iterdir() if f.name.endswith(".sql"))
    for file in sorted(files, key=lambda f: f.name):
        head, *blocks = file.read_text(encoding="utf-8").split(_MARK)
        if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
            raise ValueError(f"{package}/{file.name}: SQL before the first '{_MARK}'")
        for block in blocks:
            name, _, statement = block.partition("\n")
            if name.strip() in queries:
                raise ValueError(f"{package}/{file.name}: '{name.strip()}' is defined twice")
            queries[name.strip()] = statement.strip()
    return queries

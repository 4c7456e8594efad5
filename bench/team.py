"""The sales team that takes the leads: so large that nobody is ever held."""

from __future__ import annotations

from pathlib import Path

import yaml

_REPS = ("tanaka", "ito", "hayashi", "brandt", "kato")
_CAPACITY = 100_000
"""The most that the rules allow."""


def write_rules(home: Path) -> None:
    """Write `routing.yaml` in `home`."""
    rules = {
        "pools": {"sales": {"members": [{"rep": rep} for rep in _REPS]}},
        "reps": [{"id": rep, "name": rep.title(), "capacity": _CAPACITY} for rep in _REPS],
        "rules": [{"rule": "everyone", "pool": "sales"}],
    }
    (home / "routing.yaml").write_text(yaml.safe_dump(rules, sort_keys=False), encoding="utf-8")

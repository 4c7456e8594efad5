"""For how long the heads of queues have not moved."""

from __future__ import annotations

from collections.abc import Mapping


class Standing:
    """Remembers since when each queue has had the same head, as far as it was told."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}

    def seconds(self, heads: Mapping[str, int | None], now: float) -> dict[str, float]:
        """How long each queue's head has been there at `now`, in seconds; 0 for an empty queue (None)."""
        since: dict[str, tuple[int, float]] = {}
        for name, head in heads.items():
            if head is not None:
                before = self._since.get(name)
                since[name] = before if before is not None and before[0] == head else (head, now)
        self._since = since
        return {name: now - since[name][1] if name in since else 0.0 for name in heads}

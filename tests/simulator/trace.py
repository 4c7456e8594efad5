"""What happened, step by step, in few words: shown when a seed fails, compared when determinism is tested."""

from __future__ import annotations

from tests.simulator.timeline import Timeline

SHOWN_MAX = 400


class Trace:
    """The log of one run."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.steps: list[tuple[float, str, str, object]] = []

    def add(self, who: str, what: str, detail: object = "") -> None:
        """`detail` is only turned into text when somebody looks, so it must not change afterwards."""
        self.steps.append((self._timeline.now, who, what, detail))

    def lines(self) -> list[str]:
        return [f"{at:9.4f}  {who:<12} {what:<12} {detail}" for at, who, what, detail in self.steps]

    def tail(self) -> str:
        """The end of it, where a failure shows."""
        lines = self.lines()
        cut = [f"({len(lines) - SHOWN_MAX} steps before)"] if len(lines) > SHOWN_MAX else []
        return "\n".join([*cut, *lines[-SHOWN_MAX:]])

"""Time: positions never go back, and when a fault is over, work goes on and is finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chaos.checker.history import History, Json
from chaos.checker.product import READERS
from chaos.checker.verdict import Category, Finding

PROGRESS_SECONDS: Final = 60.0
"""How soon after the last heal something must be read, if there is anything to read.

`progress_seconds` of the run's config changes it.
"""

Windows = Sequence[tuple[float, float]]


def findings(history: History) -> list[Finding]:
    """Every rule about time."""
    return [_progress(history), _nothing_left(history), _positions(history)]


# -- faults ----------------------------------------------------------------------------------------------------------


def fault_windows(history: History) -> Windows:
    """From the injection to the heal of each fault; without a heal, to the end."""
    return [(float(fault["at"]), healed_at) for fault, healed_at in _faults(history)]


def is_within(windows: Windows, at: float | None) -> bool:
    """Whether a fault was there at this time."""
    return at is not None and any(begin <= at <= end for begin, end in windows)


def _faults(history: History) -> list[tuple[Json, float]]:
    """Each injection, with the time of its heal; infinite where nothing healed it."""
    found: list[tuple[Json, float]] = []
    heals = [fault for fault in history.faults if fault["phase"] == "heal"]
    for fault in (fault for fault in history.faults if fault["phase"] == "inject"):
        mine = next((h for h in heals if _same(h, fault) and h["at"] >= fault["at"]), None)
        if mine is not None:
            heals.remove(mine)
        found.append((fault, float(mine["at"]) if mine else float("inf")))
    return found


def _over(fault: tuple[Json, float]) -> float:
    """When a fault is over: at its heal; one that heals by itself, such as a kill, at once."""
    return float(fault[0]["at"]) if fault[1] == float("inf") else fault[1]


def _same(one: Json, other: Json) -> bool:
    return (one["row"], one["what"]) == (other["row"], other["what"])


def failovers(history: History) -> Windows:
    """When commits may have gone with a database: what they did is done again, or adopted."""
    return [(float(fault["at"]), healed_at) for fault, healed_at in _faults(history) if _is_failover(fault)]


def recoveries(history: History) -> list[dict[str, Any]]:
    """Per fault, seconds from its heal (its injection, if it heals by itself) to the next assignment.

    None where no assignment came after it.
    """
    samples = list(history.samples())
    told = []
    for fault, healed_at in _faults(history):
        seconds = _seconds_to_progress(samples, _over((fault, healed_at)))
        told.append({"row": fault["row"], "what": fault["what"], "at": fault["at"], "seconds": seconds})
    return told


def _seconds_to_progress(samples: Sequence[Json], over: float) -> float | None:
    before = [sample["assigned"] for sample in samples if sample["at"] <= over]
    after = [sample for sample in samples if sample["at"] > over]
    if not after:
        return None
    base = before[-1] if before else after[0]["assigned"]
    moved = next((float(sample["at"]) for sample in after if sample["assigned"] > base), None)
    return None if moved is None else round(moved - over, 3)


def _progress(history: History) -> Finding:
    finding = Finding("I9", "After the last fault is over, work goes on in time")
    if not history.faults or not history.has("samples.jsonl"):
        finding.skipped = "no fault was injected" if not history.faults else "there is no samples.jsonl"
        return finding
    limit = float(history.run.get("config", {}).get("progress_seconds", PROGRESS_SECONDS))
    over, what = max((_over(one), f"{one[0]['row']}: {one[0]['what']}") for one in _faults(history))
    samples = [sample for sample in history.samples() if sample["at"] > over]
    finding.checked = len(samples)
    if not samples:
        finding.skipped = "nothing was sampled after the last fault"
        return finding
    work, read = _work_from(history, samples, over), _read_at(history, samples, over)
    if work is not None and (read is None or read - work > limit):
        took = "nothing was read any more" if read is None else f"it took {read - work:.1f} s"
        finding.report(Category.STUCK, what, f"After it was over there was work, and {took} ({limit:g} s are allowed).")
    return finding


def _work_from(history: History, samples: Sequence[Json], over: float) -> float | None:
    """Since when there was something to do: unread records, or a client that asked. None when there was nothing."""
    if any(samples[0]["lag"].values()):
        return over
    asked = (answer.sent_at for answer in history.answers() if answer.sent_at >= over and answer.result != "invalid")
    return min(asked, default=None)


def _read_at(history: History, samples: Sequence[Json], over: float) -> float | None:
    """When some service was first seen to have read on; None when none has."""
    earlier = [sample for sample in history.samples() if sample["at"] <= over]
    base = _reached(earlier[-1] if earlier else samples[0])
    if (moved := next((sample for sample in samples if _reached(sample) > base), None)) is not None:
        return float(moved["at"])
    in_the_end = sum(position.next for places in history.positions.values() for position in places.values())
    ended_at = history.run.get("ended_at") or samples[-1]["at"]
    return float(ended_at) if in_the_end > base else None


def _reached(sample: Json) -> int:
    return sum(place["next"] or 0 for place in sample["positions"])


# -- at the end ------------------------------------------------------------------------------------------------------


def _nothing_left(history: History) -> Finding:
    finding = Finding("I9", "In the end everything is read, published and drained")
    for service, topics in READERS.items():
        for topic in topics:
            finding.checked += 1
            unread = sum(r.offset >= history.next_offset(service, topic, r.partition) for r in history.records(topic))
            if unread:
                finding.report(Category.STUCK, f"{service} of {topic}", f"{unread} records are not read.")
    for topic, waiting in history.outbox.items():
        finding.checked += 1
        if waiting:
            detail = f"{len(waiting)} records wait in the outbox, such as {next(iter(waiting))}."
            finding.report(Category.STUCK, f"outbox of {topic}", detail)
    for topic, spooled in history.spool.items():
        finding.report(Category.STUCK, f"spool of {topic}", f"{len(spooled)} records wait in the spool.")
    if history.metrics is not None and "error" in history.metrics:
        finding.report(Category.STUCK, "metrics", f"It did not answer: {history.metrics['error']}")
    return finding


# -- positions -------------------------------------------------------------------------------------------------------


def _positions(history: History) -> Finding:
    """A failover to a standby that lacks the newest commits may take positions back, with all that was done since."""
    finding = Finding("I10", "No position and no epoch goes back")
    if not history.has("samples.jsonl"):
        finding.skipped = "there is no samples.jsonl"
        return finding
    windows = failovers(history)
    seen: dict[tuple[str, str, int], tuple[float, int, int]] = {}
    for sample in history.samples():
        for place in sample["positions"]:
            key = (place["service"], place["topic"], place["partition"])
            now = (float(sample["at"]), place["epoch"] or 0, place["next"] or 0)
            _compare(finding, key, seen.get(key), now, windows)
            seen[key] = now
    for (service, topic), partitions in history.positions.items():
        for number, position in partitions.items():
            if before := seen.get((service, topic, number)):
                now = (float("inf"), before[1], position.next)
                _compare(finding, (service, topic, number), before, now, windows)
    return finding


def _is_failover(fault: Json) -> bool:
    return any(word in str(fault[name]).lower() for name in ("what", "detail") for word in ("failover", "promote"))


def _compare(
    finding: Finding,
    key: tuple[str, str, int],
    before: tuple[float, int, int] | None,
    now: tuple[float, int, int],
    windows: Windows,
) -> None:
    finding.checked += 1
    if before is None or (now[1] >= before[1] and now[2] >= before[2]):
        return
    if any(begin <= now[0] and end >= before[0] for begin, end in windows):
        return
    name, at = ("epoch", 1) if now[1] < before[1] else ("position", 2)
    when = "in the end" if now[0] == float("inf") else f"at {now[0]:.3f}"
    detail = f"Its {name} was {before[at]} at {before[0]:.3f} and {now[at]} {when}."
    finding.report(Category.BACKWARDS, f"{key[0]} of {key[1]}/{key[2]}", detail)

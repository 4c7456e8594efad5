"""What clients were told: a 202 means stored, a refusal means not stored, and nothing is there that nobody sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.checker.history import Answer, History
from chaos.checker.product import READERS, TOPIC_OF_KIND
from chaos.checker.progress import Windows, fault_windows, is_within
from chaos.checker.verdict import Category, Finding

VOUCHING: Final = frozenset({"accepted", "duplicate"})
REFUSING: Final = frozenset({400, 401, 403, 404, 413, 415, 422})
"""Answers after which the item is not stored. 408, 409, 429, 5xx and silence leave it open."""

ABOUT_STORED: Final = (
    "An item answered with 202 is on its topic, or in the spool",
    "An item answered with 202 while a fault was there is on its topic, or in the spool",
)


@dataclass(slots=True)
class Told:
    """What the clients of one topic were told, by identity."""

    vouched: dict[str, float] = field(default_factory=dict)
    """When it was first called stored."""
    refused: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    """May be stored or not."""
    sources: set[str] = field(default_factory=set)
    nameless: bool = False
    """Something was sent without an id, and no answer named it."""


def findings(history: History) -> list[Finding]:
    """Every rule about answers."""
    stored, in_faults = Finding("I1", ABOUT_STORED[0]), Finding("I11", ABOUT_STORED[1])
    echoes = Finding("I1", "An answer names the id that was sent")
    refused = Finding("I1", "An item that was refused is not stored")
    sent = Finding("I1", "Of the sources that clients sent as, nothing is on a topic that was not sent")
    if not history.has("answers.jsonl"):
        for finding in (stored, in_faults, echoes, refused, sent):
            finding.skipped = "there is no answers.jsonl"
        return [stored, in_faults, echoes, refused, sent, _spool(history)]
    told = _read(history, echoes)
    windows = fault_windows(history)
    for topic, one in told.items():
        there = _identities(history, topic)
        _check_stored(topic, one, there, windows, stored, in_faults)
        _check_refused(topic, one, there, refused)
        _check_sent(history, topic, one, sent)
    return [stored, in_faults, echoes, refused, sent, _spool(history)]


def _read(history: History, echoes: Finding) -> Mapping[str, Told]:
    told = {topic: Told() for topic in TOPIC_OF_KIND.values()}
    for answer in history.answers():
        one, id_ = told[TOPIC_OF_KIND[answer.kind]], answer.event_id or answer.answer_id
        one.sources.add(answer.source)
        if not id_:
            one.nameless = True
            continue
        _note(one, f"{answer.source}\0{id_}", answer)
        if answer.answer_id and answer.event_id:
            echoes.checked += 1
            if answer.answer_id != answer.event_id:
                detail = f"The answer called it {answer.answer_id}."
                echoes.report(Category.DIVERGED, f"{answer.source}/{answer.event_id}", detail)
    return told


def _note(told: Told, identity: str, answer: Answer) -> None:
    if answer.result in VOUCHING:
        told.vouched.setdefault(identity, answer.answered_at or 0.0)
    elif answer.result == "invalid" or answer.status in REFUSING:
        told.refused.add(identity)
    else:
        told.open.add(identity)


def _identities(history: History, topic: str) -> set[str]:
    """What is stored of a topic: in the log, in the spool, or, where the log forgot its beginning, read."""
    there = {record.identity for record in history.records(topic)} | set(history.spool.get(topic, ()))
    if not history.is_whole(topic):
        for service in (service for service, topics in READERS.items() if topic in topics):
            there |= history.inbox(service).keys() | history.put_aside(service)
    return there


def _check_stored(
    topic: str, told: Told, there: set[str], windows: Windows, stored: Finding, in_faults: Finding
) -> None:
    for identity, at in told.vouched.items():
        finding = in_faults if is_within(windows, at) else stored
        finding.checked += 1
        if identity not in there:
            detail = f"It was called stored at {at:.3f}, and is neither on {topic} nor in the spool."
            finding.report(Category.LOST, readable(identity), detail)


def _check_refused(topic: str, told: Told, there: set[str], finding: Finding) -> None:
    refused = told.refused - told.vouched.keys() - told.open
    finding.checked += len(refused)
    for identity in sorted(refused & there):
        finding.report(Category.ABORTED_READ, readable(identity), f"It was refused, and is stored for {topic}.")


def _check_sent(history: History, topic: str, told: Told, finding: Finding) -> None:
    if told.nameless:
        return  # what came of it has an id that nobody knows
    known = told.vouched.keys() | told.refused | told.open
    for record in history.records(topic):
        if record.source in told.sources:
            finding.checked += 1
            if record.identity not in known:
                finding.report(Category.ABORTED_READ, f"{record.source}/{record.id}", f"On {topic}: nobody sent it.")


def _spool(history: History) -> Finding:
    """The spool vouches for itself: rows put in minus rows drained, counted in the transactions that did it."""
    finding = Finding("I1", "The spool holds what its own account says")
    should_hold: Counter[str] = Counter()
    for topic, spooled, drained in history.rows("ingest.spool_account", "topic", "spooled", "drained"):
        should_hold[topic] += spooled - drained
    for topic in should_hold.keys() | history.spool.keys():
        finding.checked += 1
        held = len(history.spool.get(topic, ()))
        if held != should_hold[topic]:
            category = Category.LOST if held < should_hold[topic] else Category.UNACCOUNTED
            finding.report(category, topic, f"The spool should hold {should_hold[topic]} rows and holds {held}.")
    return finding


def readable(identity: str) -> str:
    """An identity as people write it."""
    return identity.replace("\0", "/")

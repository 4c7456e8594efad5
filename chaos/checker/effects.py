"""What became of each record that a service has read: applied once, or put aside; nothing else, and nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from chaos.checker.answers import readable
from chaos.checker.history import History, Record
from chaos.checker.product import READERS, TOPIC_OF_KIND
from chaos.checker.progress import failovers
from chaos.checker.verdict import Category, Finding

BODY_HASH_CHARS: Final = 32
"""Length of the hash ingest puts on what clients sent; other records have one of their bytes, which is longer."""

OUTCOME: Final = "outcome."
WAITING: Final = "outcome.waiting"

Inbox = Mapping[str, str]


def findings(history: History) -> list[Finding]:
    """Every rule about the effects of records."""
    found: list[Finding] = []
    for service in READERS:
        inbox = history.inbox(service)
        found += [
            _accounted(history, service, inbox),
            _same_log(history, service),
            _once(history, service, inbox),
        ]
        if service == "scoring":
            found.append(_touches(history, inbox))
        if service == "routing":
            found.append(_outcomes(history, inbox))
    return found


def _accounted(history: History, service: str, inbox: Inbox) -> Finding:
    finding = Finding("I1", f"What {service} has read it applied, or put into quarantine")
    for topic in READERS[service]:
        applied: dict[str, str] = {}
        two_bodies: set[str] = set()
        missing: dict[int, list[Record]] = {}
        for record in history.read_by(service, topic):
            finding.checked += 1
            if (topic, record.partition, record.offset) in history.quarantine[service]:
                continue
            if record.identity not in inbox:
                missing.setdefault(record.partition, []).append(record)
            elif applied.setdefault(record.identity, record.body) != record.body:
                two_bodies.add(record.identity)
        _report_missing(history, service, topic, missing, finding)
        if topic in TOPIC_OF_KIND.values():  # of our own topics every repeat is compared byte by byte elsewhere
            _report_bodies(service, topic, applied, two_bodies, inbox, finding)
    return finding


def _report_missing(
    history: History, service: str, topic: str, missing: Mapping[int, list[Record]], finding: Finding
) -> None:
    for number, records in missing.items():
        position = history.positions[service, topic][number]
        if len(records) <= position.skipped:
            continue  # given up by a person, who is named in no table
        for record in records:
            detail = f"{service} has read {topic} up to {position.next}, and neither applied it nor put it aside."
            finding.report(Category.LOST, record.place, detail)


def _report_bodies(
    service: str, topic: str, applied: Mapping[str, str], two_bodies: set[str], inbox: Inbox, finding: Finding
) -> None:
    for identity in sorted(two_bodies):
        detail = f"On {topic} are two bodies under this id, and {service} put neither aside."
        finding.report(Category.DUPLICATED, readable(identity), detail, "I2")
    for identity, body in applied.items():
        if len(body) == BODY_HASH_CHARS and body != inbox[identity] and identity not in two_bodies:
            detail = f"What {service} applied under this id is not what is on {topic}."
            finding.report(Category.DIVERGED, readable(identity), detail)


def _same_log(history: History, service: str) -> Finding:
    """A log that is shorter than what was read of it, or has another record there, lost records it acknowledged."""
    finding = Finding("I1", f"The log still holds what {service} has read of it")
    for topic in READERS[service]:
        last: dict[int, Record] = {}
        for record in history.read_by(service, topic):
            last[record.partition] = record
        for number, position in history.positions[service, topic].items():
            finding.checked += 1
            what = f"{topic}/{number}"
            end = history.bounds(topic).get(number, (0, 0))[1]
            if position.next > end:
                finding.report(Category.LOST, what, f"{service} has read up to {position.next}; it ends at {end}.")
            if number not in last or last[number].offset != position.next - 1 or not position.last_ce_id:
                continue
            record = last[number]
            if record.ce_id is not None and _is_plain(record.ce_id) and record.ce_id != position.last_ce_id:
                detail = f"At {record.offset} is {record.ce_id}; {service} has read {position.last_ce_id} there."
                finding.report(Category.DIVERGED, what, detail)
    return finding


def _is_plain(text: str) -> bool:
    """Whether a table has it as the log has it: text that Postgres cannot hold is written in another way."""
    return text.isascii() and text.isprintable() and "\\" not in text


def _once(history: History, service: str, inbox: Inbox) -> Finding:
    finding = Finding("I2", f"What {service} applied has its effect once", checked=len(inbox))
    topics = READERS[service]
    applied = sum(one.applied for topic in topics for one in history.positions[service, topic].values())
    if applied > len(inbox):
        detail = f"{applied} records were applied under {len(inbox)} ids."
        finding.report(Category.DUPLICATED, service, detail)
    # What was adopted after a failover is marked, so that it has no effect when it is read again, and was not applied.
    if applied < len(inbox) and not failovers(history):
        detail = f"{applied} records were applied, and {len(inbox)} ids are marked as such."
        finding.report(Category.UNACCOUNTED, service, detail, "I8")
    if all(history.is_whole(topic) for topic in topics):
        read = {record.identity for topic in topics for record in history.read_by(service, topic)}
        for identity in sorted(inbox.keys() - read):
            detail = f"{service} applied it, and it is on none of {', '.join(topics)}."
            finding.report(Category.ABORTED_READ, readable(identity), detail)
    return finding


def _touches(history: History, inbox: Inbox) -> Finding:
    finding = Finding("I2", "Each event that scoring applied is one touch", checked=len(inbox))
    if not history.has_table("scoring.touch"):
        finding.skipped = "scoring.touch was not written down"
        return finding
    touches = Counter(f"{source}\0{id_}" for source, id_ in history.rows("scoring.touch", "source", "event_id"))
    for identity in inbox.keys() | touches.keys():
        _compare(finding, readable(identity), int(identity in inbox), touches[identity], "touches")
    return finding


def _compare(finding: Finding, what: str, applied: int, effects: int, noun: str) -> None:
    if effects == applied:
        return
    if not applied:
        finding.report(Category.ABORTED_READ, what, f"It was never applied, and there are {effects} {noun} of it.")
    elif effects:
        finding.report(Category.DUPLICATED, what, f"There are {effects} {noun} of it.")
    else:
        finding.report(Category.LOST, what, f"It was applied, and there are no {noun} of it.")


def _outcomes(history: History, inbox: Inbox) -> Finding:
    finding = Finding("I2", "Each outcome that routing applied is one decision, or waits for its lead")
    waiting = {f"{source}\0{id_}" for source, id_ in history.rows("routing.waiting_outcome", "source", "event_id")}
    decided = Counter(
        f"{one.source}\0{one.event_id}"
        for one in history.decisions
        if one.kind.startswith(OUTCOME) and one.kind != WAITING
    )
    read = history.applied_by("routing", "lead-outcomes")
    applied = {record.identity for record in read if record.identity in inbox}
    if not history.is_whole("lead-outcomes"):
        applied |= decided.keys() | waiting
    finding.checked = len(applied)
    for identity in applied | decided.keys() | waiting:
        effects = decided[identity] + (identity in waiting)
        _compare(finding, readable(identity), int(identity in applied), effects, "decisions")
    return finding

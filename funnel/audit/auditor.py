"""Looks at records and leads, and tells what stands. Its drivers say what to look at, and when a look is over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from funnel.audit import book, tables
from funnel.audit.compare import judge_leads, judge_records, repeats
from funnel.audit.doubts import Doubts, Frame, Key, Pending
from funnel.audit.findings import Doubt, Finding, Place
from funnel.audit.logs import LogReader
from funnel.audit.seen import Seen
from funnel.postgres import Database
from funnel.topics import topics

CHUNK = 1_000
"""Records or leads in one snapshot: some milliseconds of Postgres, and of Python in between."""

RECHECKED = 100
"""Open findings looked at again in each look."""

FIRST_LEAD = "00000000-0000-0000-0000-000000000000"
"""Before every lead, in the order of their ids."""

READERS = {name: tuple(one for one in tables.SERVICES if one in topic.consumers) for name, topic in topics().items()}

T = TypeVar("T")


class Auditor:
    """One look is any number of `look_at_*`, then `end_look`."""

    def __init__(self, database: Database, reader: LogReader) -> None:
        self._database = database
        self._reader = reader
        self._doubts = Doubts()

    @property
    def pending(self) -> int:
        """Doubts that are not decided yet."""
        return len(self._doubts)

    async def look_at_records(self, records: Sequence[Seen]) -> None:
        """Compare records with the tables. They were read before this is called."""
        for chunk in _chunks(records):
            doubts = await self._judge_records(chunk)
            self._doubts.add(doubts, {one.place: one for one in chunk}, Frame())

    async def look_at_leads(self, lead_ids: Collection[str]) -> None:
        """Compare the rows of these leads with each other and with what was published."""
        for chunk in _chunks(sorted(lead_ids)):
            doubts, frame = await self._judge_leads(chunk)
            self._doubts.add(doubts, {}, frame)

    async def look_at_leads_after(self, lead_id: str, limit: int) -> list[str]:
        """Look at the next leads in the order of their ids, and return them."""
        async with tables.snapshot(self._database) as tx:
            found = await tables.leads_after(tx, lead_id, limit)
        await self.look_at_leads(found)
        return found

    async def end_look(self) -> list[Doubt]:
        """Look again at what waited, write down what stands, and return what was never known before.

        Raises DatabaseAway, Conflict and KafkaAway.
        """
        waited = self._doubts.of_earlier_looks()
        confirmed: list[Doubt] = []
        for records in _chunks([one for one in waited if one.record is not None]):
            distinct = {one.record.place: one.record for one in records if one.record is not None}
            still = {doubt.key for doubt in await self._judge_records(list(distinct.values()))}
            confirmed += self._doubts.seen_again(still, Frame(), records)
        for leads in _chunks([one for one in waited if one.record is None]):
            confirmed += await self._leads_again(leads)
        async with tables.snapshot(self._database) as tx:
            confirmed += repeats(await tables.repeats(tx))
        self._doubts.end_look(await self._reader.ends())
        async with self._database.transaction() as tx:
            return await book.keep(tx, confirmed)

    async def recheck(self) -> None:
        """Look again at some of the findings that are open: what has healed is gone."""
        async with self._database.transaction() as tx:
            findings = await book.to_check(tx, RECHECKED)
        if not findings:
            return
        records, expired = await self._reader.at(sorted({one.doubt.place for one in findings if one.doubt.place}))
        standing: set[Key] = {doubt.key for doubt in await self._judge_records(records)}
        doubts, _ = await self._judge_leads([one.doubt.lead_id for one in findings if one.doubt.lead_id])
        standing |= {doubt.key for doubt in doubts}
        told = _tellable(findings, {one.place for one in records}, expired)
        async with self._database.transaction() as tx:
            await book.checked(
                tx,
                [one.id for one in findings],
                [one.id for one in told if one.doubt.key in standing],
                [one.id for one in told if one.doubt.key not in standing],
            )

    async def _leads_again(self, waited: Sequence[Pending]) -> list[Doubt]:
        doubts, frame = await self._judge_leads([one.doubt.lead_id for one in waited if one.doubt.lead_id])
        return self._doubts.seen_again({doubt.key for doubt in doubts}, frame, waited)

    async def _judge_records(self, records: Sequence[Seen]) -> list[Doubt]:
        if not records:
            return []
        async with tables.snapshot(self._database) as tx:
            found = await tables.about_records(tx, records)
        return judge_records(records, found, READERS)

    async def _judge_leads(self, lead_ids: Collection[str]) -> tuple[list[Doubt], Frame]:
        if not lead_ids:
            return [], Frame()
        async with tables.snapshot(self._database) as tx:
            found, frame = await tables.about_leads(tx, lead_ids), await tables.frame(tx)
        return judge_leads(found), frame


def _tellable(findings: Sequence[Finding], read: Collection[Place], expired: Collection[Place]) -> list[Finding]:
    """Those of which something can be told now: of a record that the log forgot nothing can, ever."""
    return [
        one
        for one in findings
        if one.doubt.place is None or (one.doubt.place in read and one.doubt.place not in expired)
    ]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))

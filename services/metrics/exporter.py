"""Exports the database totals, on the replica that holds the lease for it and on no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from funnel.audit import book, tables
from funnel.errors import Conflict, DatabaseAway
from funnel.kafka.consumer import KafkaAway
from funnel.ledger import Ledger
from funnel.postgres import Database, Transaction
from funnel.telemetry import LAG_RECORDS, LAG_SECONDS, Sample, Totals
from services.metrics import store
from services.metrics.books import Books, Lag
from services.metrics.domain.report import Figures
from services.metrics.domain.standing import Standing
from services.metrics.domain.tallies import Kpi
from services.metrics.settings import REFRESH_SECONDS, REFRESH_SECONDS_MAX, REFRESH_SHARE

log = structlog.get_logger(__name__)

_SERIES_OF_KPI = {
    Kpi.LEADS: "funnel_leads",
    Kpi.VISITS: "funnel_visits_total",
    Kpi.DOCUMENT_REQUESTS: "funnel_document_requests_total",
    Kpi.APPOINTMENTS: "funnel_appointments_total",
    Kpi.OPPORTUNITIES: "funnel_opportunities_total",
    Kpi.ORDERS_WON: "funnel_orders_won_total",
    Kpi.ORDERS_CANCELLED: "funnel_orders_cancelled_total",
    Kpi.LOST: "funnel_lost_total",
}


class Exporter:
    """A worker that reads the totals again and again. They come from tables, so restarts and repeats leave no trace."""

    name = "exporter"

    def __init__(self, database: Database, books: Books, totals: Totals, holds_lease: Callable[[], bool]) -> None:
        self._database = database
        self._books = books
        self._totals = totals
        self._holds_lease = holds_lease
        self._lags_told: set[tuple[str, str, str]] = set()
        self._outboxes = Standing()

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until `stop`, then export nothing."""
        loop = asyncio.get_running_loop()
        try:
            while not stop.is_set():
                began = loop.time()
                await self.refresh()
                pause = (loop.time() - began) / REFRESH_SHARE
                try:
                    async with asyncio.timeout(min(max(pause, REFRESH_SECONDS), REFRESH_SECONDS_MAX)):
                        await stop.wait()
                except TimeoutError:
                    continue
        finally:
            self._withdraw()

    async def refresh(self) -> None:
        """Read and export once. Without the lease, or without Postgres to vouch for them, nothing is exported."""
        if not self._holds_lease():
            self._withdraw()
            return
        try:
            async with self._database.transaction() as tx:
                figures = await store.totals(tx)
                audit = await self._audit(tx)
                accepted = await book.accepted_losses(tx)
            ledger, lags = await self._ledger_and_lags()
        except (DatabaseAway, Conflict) as error:
            log.warning("totals_not_read", reason=str(error))
            self._withdraw()
            return
        if self._holds_lease():  # reading took time; another replica may export by now
            self._totals.publish(self, _figures(figures) + audit + (_ledger(ledger, accepted) if ledger else []))
            self._tell_lags(lags)

    async def _audit(self, tx: Transaction) -> list[Sample]:
        """What the auditor found, whether it still looks, and how long outboxes have stood still."""
        found = await book.open_by_kind(tx)
        outboxes = (await tables.frame(tx)).outbox
        heads = {service: span[0] if span is not None else None for service, span in outboxes.items()}
        standing = self._outboxes.seconds(heads, asyncio.get_running_loop().time())
        return [
            *(Sample("funnel_unaccounted", {"kind": kind.value}, count) for kind, count in found.items()),
            Sample("funnel_audit_age_seconds", {}, await book.round_age(tx)),
            *(Sample("funnel_outbox_seconds", {"service": name}, seconds) for name, seconds in standing.items()),
        ]

    async def _ledger_and_lags(self) -> tuple[Ledger | None, Sequence[Lag]]:
        """Nothing while Kafka is away: what was read before would deny the trouble."""
        try:
            return await self._books.ledger_and_lags()
        except KafkaAway as error:
            log.warning("ledger_not_read", reason=str(error))
            return None, ()

    def _withdraw(self) -> None:
        self._totals.withdraw(self)
        self._tell_lags(())

    def _tell_lags(self, lags: Sequence[Lag]) -> None:
        told = {(lag.service, lag.topic, str(lag.partition)): lag for lag in lags}
        for labels in self._lags_told - told.keys():
            LAG_RECORDS.remove(*labels)
            LAG_SECONDS.remove(*labels)
        for labels, lag in told.items():
            LAG_RECORDS.labels(*labels).set(lag.records)
            if lag.seconds is None:
                LAG_SECONDS.remove(*labels)
            else:
                LAG_SECONDS.labels(*labels).set(lag.seconds)
        self._lags_told = set(told)


def _figures(figures: Figures) -> list[Sample]:
    samples = [Sample(name, {}, figures.count(kpi)) for kpi, name in _SERIES_OF_KPI.items()]
    samples += [
        Sample("funnel_revenue", {"currency": currency}, float(amount)) for currency, amount in figures.revenue.items()
    ]
    if figures.win_ratio is not None:
        samples.append(Sample("funnel_win_ratio", {}, figures.win_ratio))
    return samples


def _ledger(ledger: Ledger, accepted: Mapping[str, int]) -> list[Sample]:
    """What the ledger says, less what a person has accepted as lost for good."""
    by_state = ledger.leads.by_state().items()
    open_ = {kind: max(0, count - accepted.get(kind, 0)) for kind, count in ledger.unaccounted().items()}
    return [
        *(Sample("funnel_leads_by_state", {"state": state}, count) for state, count in by_state),
        *(Sample("funnel_unaccounted", {"kind": kind}, count) for kind, count in open_.items()),
    ]

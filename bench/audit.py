"""What an audit costs: `python -m bench.audit [--leads N] [--records N]`.

Fills the tables as after N leads with an assignment each, and lead-events with records that were applied, then walks
over all of them as the auditor does, and says how long the auditor of the metrics service takes for one walk at the
share of time it allows itself. On a Kafka and a Postgres of its own, removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import time
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from funnel.audit.auditor import CHUNK, FIRST_LEAD, Auditor
from funnel.audit.logs import LogReader, next_spans
from funnel.embedded import servers
from funnel.kafka.producer import Producer, ProducerRecord
from funnel.postgres import Database
from funnel.postgres.migrate import migrate
from funnel.settings import Settings
from funnel.topics import ensure_topics
from services.metrics.settings import AUDIT_OLD_SECONDS, AUDIT_SECONDS

LEADS = """
INSERT INTO scoring.lead SELECT gen_random_uuid(), 1, 'mql', 60, now(), now(), '{}', '{}' FROM generate_series(1, %s);
INSERT INTO routing.assignment
SELECT gen_random_uuid(), lead_id, 1, 'a', 'sales', NULL, 'active', now() FROM scoring.lead;
INSERT INTO metrics.inbox SELECT 'scoring', lead_id || ':1', '\\x00', now() FROM scoring.lead;
INSERT INTO metrics.inbox SELECT 'routing', assignment_id || ':assigned', '\\x00', now() FROM routing.assignment;
"""
APPLIED = """
INSERT INTO {service}.inbox SELECT 'bench', n::text, '\\x00', now() FROM generate_series(0, %s - 1) AS n;
INSERT INTO {service}.position (topic, partition, first, next)
SELECT 'lead-events', n, 0, 1000000000 FROM generate_series(0, 11) AS n;
"""
BATCH = 5_000


def fill(dsn: str, leads: int, records: int) -> None:
    """The tables as they are after all of it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in LEADS.strip().split(";\n"):
            connection.execute(statement.rstrip(";").encode(), (leads,) if "%s" in statement else None)
        for service in ("scoring", "metrics"):
            for statement in APPLIED.format(service=service).strip().split(";\n"):
                connection.execute(statement.rstrip(";").encode(), (records,) if "%s" in statement else None)
        connection.execute("VACUUM ANALYZE")


async def publish(settings: Settings, records: int) -> None:
    """Records on lead-events, of some hundred bytes each."""
    producer = await Producer.open(settings, client_id="bench-audit")
    headers = [("ce_source", b"bench"), ("ce_type", b"page.viewed"), ("ce_bodyhash", b"00")]
    value = b'{"page_url": "%s"}' % (b"x" * 300)
    for start in range(0, records, BATCH):
        numbers = [b"%d" % number for number in range(start, min(start + BATCH, records))]
        topic = f"{settings.topic_prefix}lead-events"
        await producer.publish([ProducerRecord(topic, one, value, [*headers, ("ce_id", one)]) for one in numbers])
    await producer.close()


async def walked(settings: Settings) -> tuple[float, float, int]:
    """Seconds for all leads, seconds for all records, and doubts (none, or the filling is wrong)."""
    database = await Database.open(settings.postgres_dsn, schema="metrics", application_name="bench")
    reader = LogReader(settings, "bench-audit")
    auditor = Auditor(database, reader)
    began, at = time.perf_counter(), FIRST_LEAD
    while found := await auditor.look_at_leads_after(at, CHUNK):
        at = found[-1]
    leads, bounds, spot = time.perf_counter() - began, await reader.bounds(), None
    began = time.perf_counter()
    while True:
        spans, spot = next_spans(bounds, spot, CHUNK)
        await auditor.look_at_records((await reader.read(spans, CHUNK))[0])
        if spot is None:
            break
    seconds = leads, time.perf_counter() - began, auditor.pending
    await reader.close()
    await database.close()
    return seconds


async def measure(settings: Settings, leads: int, records: int, console: Console) -> None:
    """Fill, walk, print."""
    console.print("filling")
    await ensure_topics(settings.kafka_bootstrap, prefix=settings.topic_prefix, environment="embedded")
    await publish(settings, records)
    await asyncio.to_thread(fill, settings.postgres_dsn, leads, records)
    console.print("walking")
    for_leads, for_records, doubts = await walked(settings)
    table = Table("walk over", "count", "seconds", "per second", "one walk in production, minutes")
    for name, count, seconds in (("leads", leads, for_leads), ("records", records, for_records)):
        share = AUDIT_OLD_SECONDS / 2 / (AUDIT_SECONDS + AUDIT_OLD_SECONDS)
        table.add_row(name, f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}", f"{seconds / share / 60:.1f}")
    console.print(table)
    console.print(f"doubts: {doubts}")


def main() -> None:
    """The whole program."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=200_000)
    options = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="funnel-bench-", ignore_cleanup_errors=True) as folder,
        servers.running(Path(folder), console.print) as started,
    ):
        migrate(started.postgres_dsn)
        settings = Settings(
            kafka_bootstrap=started.kafka_bootstrap,
            postgres_dsn=started.postgres_dsn,
            topic_prefix=f"b{secrets.token_hex(3)}.",
            waive_replication=True,
        )
        asyncio.run(measure(settings, options.leads, options.records, console))


if __name__ == "__main__":
    main()

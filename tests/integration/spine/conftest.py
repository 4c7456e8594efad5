"""The toy service's tables and topics, and a desk to drive it from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import asyncpg
import msgspec
import pytest

from funnel.postgres.migrate import migrate
from funnel.settings import Settings
from tests.support.eventually import eventually
from tests.support.kafka import Record, create_topics, produce, read_all
from tests.support.toy import TABLES

PARTITIONS = 3


@dataclass(frozen=True)
class Desk:
    """Writes to the toy's topic, and looks at its tables and output, each with a client that is not ours."""

    settings: Settings

    def replica(self, name: str) -> Settings:
        return self.settings.model_copy(update={"replica": name})

    def send(self, records: Iterable[Record], **config: str | int) -> list[tuple[int, int]]:
        return produce(self.settings.kafka_bootstrap, f"{self.settings.topic_prefix}in", records, config)

    async def query(self, sql: str, *args: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.settings.postgres_dsn, server_settings={"search_path": "toy"})
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    async def totals(self) -> dict[str, int]:
        return {row["id"]: row["total"] for row in await self.query("SELECT id, total FROM person WHERE version > 0")}

    async def counters(self) -> dict[str, int]:
        rows = await self.query(
            "SELECT coalesce(sum(applied), 0)::int AS applied, coalesce(sum(duplicates), 0)::int AS duplicates, "
            "coalesce(sum(quarantined), 0)::int AS quarantined, coalesce(sum(holes), 0)::int AS holes, "
            "coalesce(sum(skipped), 0)::int AS skipped FROM position WHERE topic = 'in'"
        )
        return dict(rows[0])

    async def until(self, **expected: int) -> None:
        """Wait until the counters named have the values given."""

        async def reached() -> bool:
            counters = await self.counters()
            assert {name: counters[name] for name in expected} == expected
            return True

        await eventually(reached)

    async def until_passed(self, records: int) -> None:
        """Wait until so many offsets are behind the positions, whatever became of their records."""

        async def reached() -> bool:
            rows = await self.query("SELECT coalesce(sum(next - first), 0)::int AS n FROM position WHERE topic = 'in'")
            return bool(rows[0]["n"] == records)

        await eventually(reached)

    async def published(self) -> list[Record]:
        """What is on the output topic, once the outbox is empty."""

        async def empty() -> bool:
            return not await self.query("SELECT 1 FROM outbox LIMIT 1")

        await eventually(empty)
        return read_all(self.settings.kafka_bootstrap, f"{self.settings.topic_prefix}out")

    async def owners(self) -> Mapping[str, int]:
        rows = await self.query(
            "SELECT owner, count(*)::int AS n FROM position WHERE topic = 'in' AND owner IS NOT NULL "
            "AND lease_until > now() GROUP BY owner"
        )
        return {row["owner"]: row["n"] for row in rows}


def event(number: int, person: str = "ann", amount: int = 1, **fields: object) -> Record:
    """A record as our own ingest would write it: event `number`, adding `amount` to `person`."""
    body = msgspec.json.encode({"person": person, "number": amount, **fields})
    headers = {"ce_id": b"e%d" % number, "ce_source": b"test", "ce_type": b"toy.added"}
    return Record(body, key=person.encode(), headers=headers)


def in_partition(record: Record, partition: int) -> Record:
    return replace(record, partition=partition)


@pytest.fixture
async def desk(kafka_bootstrap: str, database_dsn: str, topic_prefix: str) -> Desk:
    create_topics(kafka_bootstrap, {f"{topic_prefix}in": PARTITIONS, f"{topic_prefix}out": PARTITIONS})
    migrate(database_dsn, ["toy"])
    connection = await asyncpg.connect(database_dsn)
    await connection.execute(TABLES)
    await connection.close()
    return Desk(
        Settings(
            kafka_bootstrap=kafka_bootstrap,
            postgres_dsn=database_dsn,
            topic_prefix=topic_prefix,
            waive_replication=True,
            replica="one",
        )
    )

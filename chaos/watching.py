"""Looking at a running deployment from outside: positions, lag, what waits to be published; never through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import httpx
import psycopg
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from psycopg import sql

from chaos.history import History
from funnel.topics import topics

SAMPLE_SECONDS: Final = 0.5
PUBLISHERS: Final = ("scoring", "routing")
READERS: Final = ("scoring", "routing", "metrics")
_ANSWER_SECONDS: Final = 5.0
_OFFSETS_SECONDS: Final = 2.0  # a broker that is away must not cost more samples than it has to
_POSITIONS: Final = """
SELECT {service} AS service, topic, partition, epoch, next, owner FROM {schema}.position
WHERE next IS NOT NULL AND topic NOT LIKE '#%%'
"""

Ends = dict[tuple[str, int], int]
"""The offset after the last record, by logical topic and partition."""


class Watcher:
    """Asks Postgres and Kafka directly. `dsn` is asked each time: the primary may have changed.

    Its methods raise psycopg.Error, KafkaException or httpx.TransportError when a server is away.
    """

    def __init__(self, dsn: Callable[[], str], admin: AdminClient, prefix: str, metrics_url: str) -> None:
        self._dsn = dsn
        self._admin = admin
        self._prefix = prefix
        self._metrics_url = metrics_url
        self._seen: Ends = {}

    def positions(self) -> list[dict[str, Any]]:
        """Every position row: service, topic, partition, epoch, next, owner."""
        parts = [
            sql.SQL(_POSITIONS).format(service=sql.Literal(service), schema=sql.Identifier(service))
            for service in READERS
        ]
        with self._connection() as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()

    def ends(self) -> Ends:
        """How long the logs are; of a partition nobody leads now, as long as it was when last seen.

        Raises KafkaException for one that was never seen.
        """
        try:
            self._learn()
        except KafkaException:
            if not self._seen:
                raise
        return dict(self._seen)

    def _learn(self) -> None:
        known = self._admin.list_topics(timeout=_OFFSETS_SECONDS).topics
        asked = {
            TopicPartition(self._prefix + name, partition): (name, partition)
            for name in topics()
            if self._prefix + name in known
            for partition in known[self._prefix + name].partitions
        }
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        futures = self._admin.list_offsets(dict.fromkeys(asked, latest), request_timeout=_OFFSETS_SECONDS)
        for place, future in futures.items():
            with contextlib.suppress(KafkaException):
                if (offset := future.result(_ANSWER_SECONDS).offset) >= 0:
                    self._seen[asked[place]] = offset
        if unseen := [place for place in asked.values() if place not in self._seen]:
            raise KafkaException(f"the end of {unseen[0]} is not known")

    def lag(self, positions: list[dict[str, Any]], ends: Ends) -> dict[str, int]:
        """Records each service has not read yet."""
        reached = {(row["service"], row["topic"], row["partition"]): row["next"] for row in positions}
        lag = dict.fromkeys(READERS, 0)
        for (topic, partition), end in ends.items():
            for service in topics()[topic].consumers:
                if service in lag:
                    lag[service] += max(0, end - reached.get((service, topic, partition), 0))
        return lag

    def waiting(self) -> dict[str, int]:
        """Rows of each outbox and of the spool: committed, not yet published."""
        tables = [*(f"{service}.outbox" for service in PUBLISHERS), "ingest.spool"]
        with self._connection() as connection:
            counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
        return {table: row[0] if row else 0 for table, row in zip(tables, counts, strict=True)}

    def ledger(self) -> dict[str, Any]:
        """What `GET /v1/ledger` says. Raises httpx.HTTPStatusError as well."""
        return self.metrics("/v1/ledger")

    def metrics(self, path: str) -> dict[str, Any]:
        """What the metrics service answers to a GET, as JSON. Raises httpx.HTTPStatusError as well."""
        answer = httpx.get(self._metrics_url + path, timeout=2 * _ANSWER_SECONDS, trust_env=False)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def sample(self) -> dict[str, Any]:
        """A line of samples.jsonl."""
        at, positions = time.time(), self.positions()
        ends = self.ends()
        assigned = sum(end for (topic, _), end in ends.items() if topic == "lead-assignments")
        return {"at": at, "positions": positions, "lag": self.lag(positions, ends), "assigned": assigned}

    def unrest(self) -> list[str]:
        """Why the deployment is not at rest: a phrase per number that is not 0. Empty: nothing is on its way."""
        try:
            lag = self.lag(self.positions(), self.ends())
            numbers = {f"lag of {service}": records for service, records in lag.items()}
            numbers |= self.waiting() | _numbers_of(self.ledger())
        except (psycopg.Error, KafkaException, httpx.HTTPError) as error:
            return [f"cannot be seen: {type(error).__name__}: {error}"]
        return [f"{name} = {number}" for name, number in numbers.items() if number]

    def _connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn(), autocommit=True, connect_timeout=2, options="-c statement_timeout=5000")


def _numbers_of(ledger: dict[str, Any]) -> dict[str, int]:
    """What the ledger says is on its way or missing."""
    events, outcomes, leads = ledger["events"], ledger["outcomes"], ledger["leads"]
    return {
        "events in flight": events["in_flight"],
        "outcomes in flight": outcomes["in_flight"],
        "leads pending": leads["pending"],
        "assignments unpublished": ledger["assignments"]["unpublished"],
        "events unaccounted": events["unaccounted"],
        "outcomes unaccounted": outcomes["unaccounted"],
        "leads unaccounted": leads["unaccounted"],
        "assignments unaccounted": ledger["assignments"]["unaccounted"],
    }


async def sample_until_cancelled(watcher: Watcher, history: History) -> None:
    """Write a sample about every half second; one that fails is left out."""
    while True:
        with contextlib.suppress(psycopg.Error, KafkaException):
            history.sample(await asyncio.to_thread(watcher.sample))
        await asyncio.sleep(SAMPLE_SECONDS)

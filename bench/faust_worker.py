"""The job of the bare spine as a faust-streaming application. Imports nothing of the product: it runs elsewhere.

`python -m bench.faust_worker BOOTSTRAP PREFIX GUARANTEE FOLDER`; GUARANTEE is at_least_once or exactly_once.
"""

from __future__ import annotations

import sys
from typing import Any

import faust

PARTITIONS = 12


def application(bootstrap: str, prefix: str, guarantee: str, folder: str) -> Any:
    """State per person in a table, one result per event; the settings are Faust's own but for a quick restart."""
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=folder,
        processing_guarantee=guarantee,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        web_enabled=False,
    )
    events = app.topic(f"{prefix}in", key_type=str, key_serializer="raw", value_serializer="json")
    results = app.topic(f"{prefix}out", key_type=str, key_serializer="raw", value_serializer="json")
    people = app.Table(f"{prefix}people", default=lambda: [0, 0, 0], partitions=PARTITIONS)

    async def count(stream: Any) -> None:
        async for event in stream:
            person, n = event["person"], event["n"]
            applied, last, disorder = people[person]
            people[person] = [applied + 1, n, disorder + (n != last + 1)]
            await results.send(key=person, value={"person": person, "n": n, "applied": applied + 1})

    app.agent(events)(count)
    return app


if __name__ == "__main__":
    worker = application(*sys.argv[1:])
    sys.argv = [sys.argv[0], "worker", "-l", "warn"]
    worker.main()

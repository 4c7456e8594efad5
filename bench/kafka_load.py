"""Writes prepared values to a topic on a schedule: `python -m bench.kafka_load BOOTSTRAP TOPIC RATE VALUES RESULT`.

The plain hop that the funnel's own hops are compared with: the same client library, every record acknowledged.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaProducer

from bench.open_loop import ACCEPTED, Sent, send_on_schedule, write


async def write_all(bootstrap: str, topic: str, rate: float, values: Sequence[bytes]) -> list[Sent]:
    """Write `values` at `rate` per second; the key of each is its number."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    await producer.start()
    try:

        async def one(number: int) -> int:
            await producer.send_and_wait(topic, values[number], key=b"%d" % number)
            return ACCEPTED

        return await send_on_schedule(one, rate, len(values))
    finally:
        await producer.stop()


def main() -> None:
    """The whole process."""
    bootstrap, topic, rate, values, result = sys.argv[1:]
    lines = Path(values).read_bytes().splitlines()
    write(Path(result), uvloop.run(write_all(bootstrap, topic, float(rate), lines)))


if __name__ == "__main__":
    main()

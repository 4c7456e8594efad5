"""Writing down what an independent client sees: every record, every row, and what the product says of itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import psycopg

from chaos.checker.product import READERS
from chaos.checker.read_kafka import Log
from chaos.checker.read_postgres import Standing, standing, write_tables

PATIENCE_SECONDS: Final = 120.0
"""How long to wait for rest. What is not done by then shows as stuck."""

STILL_SECONDS: Final = 15.0
"""Unread records that stay so for so long are no records (traces of somebody's transactions), or nobody reads them."""

LOOK_SECONDS: Final = 0.3
ATTEMPTS: Final = 3
ANSWER_SECONDS: Final = 30.0

_UNACCOUNTED: Final = re.compile(r'^funnel_unaccounted\{kind="([a-z_]+)"\} (\S+)$', re.MULTILINE)


def collect(
    directory: Path | str,
    bootstrap: str,
    dsn: str,
    topic_prefix: str,
    metrics_url: str | None = None,
    stable: bool = True,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Write `topics/`, `tables/` and `metrics.json` of the history in `directory`.

    `stable`: wait until everything is read, published and drained, at most `patience` seconds, and begin again when
    something moved meanwhile, so that topics and tables are of one moment. Without it they are not, and what was on
    its way can show as a violation. Raises psycopg.Error and KafkaException when a server is away.
    """
    directory = Path(directory)
    log = Log(bootstrap, topic_prefix)
    try:
        for _ in range(ATTEMPTS):
            before = _at_rest(log, dsn, patience) if stable else None
            if metrics_url:
                _write(directory / "metrics.json", _ask(metrics_url, patience))
            write_tables(dsn, directory / "tables")
            log.write(directory / "topics")
            if before is None or before == _look(log, dsn):
                return
    finally:
        log.close()


Look = tuple[Standing, Mapping[tuple[str, int], int]]


def _at_rest(log: Log, dsn: str, patience: float) -> Look:
    """Wait until nothing is left to do, or nothing has moved for a while; what it looked like then."""
    give_up = time.monotonic() + patience
    last, since = _look(log, dsn), time.monotonic()
    while time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
        now = _look(log, dsn)
        if now != last:
            last, since = now, time.monotonic()
        elif _is_done(now) or time.monotonic() - since > STILL_SECONDS:
            break
    return last


def _look(log: Log, dsn: str) -> Look:
    with psycopg.connect(dsn) as connection:
        stand = standing(connection)
    return stand, log.ends()


def _is_done(look: Look) -> bool:
    stand, ends = look
    reads = [(service, topic) for service, topics in READERS.items() for topic in topics]
    unread = (
        end > stand.next_offsets.get((service, topic, number), 0)
        for service, topic in reads
        for (name, number), end in ends.items()
        if name == topic
    )
    return not stand.waiting and not any(unread)


def _ask(url: str, patience: float) -> dict[str, Any]:
    """What metrics answers; {"error": ..} when it does not within `patience` seconds."""
    give_up = time.monotonic() + patience
    while True:
        try:
            told = _get(f"{url}/metrics").decode()
            unaccounted = {kind: int(float(value)) for kind, value in _UNACCOUNTED.findall(told)}
            if unaccounted:  # else its totals are not exported yet
                ledger, kpis = json.loads(_get(f"{url}/v1/ledger")), json.loads(_get(f"{url}/v1/kpis"))
                return {"unaccounted": unaccounted, "ledger": ledger, "kpis": kpis}
            reason = "It exports no funnel_unaccounted."
        except (URLError, TimeoutError, ConnectionError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        if time.monotonic() > give_up:
            return {"error": reason}
        time.sleep(LOOK_SECONDS)


def _get(url: str) -> bytes:
    with urlopen(url, timeout=ANSWER_SECONDS) as answer:
        body: bytes = answer.read()
    return body


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")

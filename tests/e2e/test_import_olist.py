"""The public Olist files through the whole system. They may not be part of the project, so their folder is named
by FUNNEL_TEST_DATA (default: ../shared/data beside the checkout), and without them these tests are skipped."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from funnel.contracts import LeadAssignment, LeadDecision
from funnel.embedded.running import running_stack
from funnel.settings import Settings
from tests.e2e.command import environment, funnel
from tests.support.eventually import eventually
from tests.support.kafka import read_all

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("FUNNEL_TEST_DATA") or ROOT.parent / "shared" / "data") / "olist_marketing_funnel"
LEADS = DATA / "olist_marketing_qualified_leads_dataset.csv"
DEALS = DATA / "olist_marketing_closed_deals_dataset.csv"
MAPPINGS = ROOT / "deploy" / "import"
SETTLE_SECONDS = 180.0

pytestmark = pytest.mark.skipif(
    not (LEADS.exists() and DEALS.exists()),
    reason=f"the Olist files are not in {DATA}; name their folder by FUNNEL_TEST_DATA",
)

ROUTING = """\
pools:
  sales: {members: [{rep: ana}, {rep: bruno, weight: 2}]}
reps:
  - {id: ana, name: Ana, capacity: 2000}
  - {id: bruno, name: Bruno, capacity: 3500}
rules:
  - {rule: everyone, pool: sales}
"""


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter=";")


def by_month(path: Path, column: str) -> dict[str, int]:
    """How many rows of the file have a date in each month."""
    return dict(Counter(row[column][:7].replace(".", "-") for row in rows_of(path)))


def ledger(settings: Settings) -> Any:
    return httpx.get(f"{settings.url_of('metrics')}/v1/ledger").json()


def kpis(settings: Settings) -> Any:
    return httpx.get(f"{settings.url_of('metrics')}/v1/kpis", params={"by": "month"}).json()


def counted(answer: Any, name: str) -> dict[str, int]:
    return {period["start"][:7]: period[name] for period in answer["periods"] if period[name]}


def import_leads(settings: Settings, *options: str) -> None:
    funnel("import", LEADS, "--mapping", MAPPINGS / "olist-leads.yaml", *options, env=environment(settings))


def import_history(settings: Settings) -> None:
    """The one documented command."""
    env = {**environment(settings), "FUNNEL": str(Path(sys.executable).with_name("funnel"))}
    subprocess.run([MAPPINGS / "olist.sh", DATA], env=env, check=True, stdout=subprocess.DEVNULL)


async def settled(settings: Settings, *, events: int, outcomes: int) -> Any:
    """The ledger, once it has counted so many records and nothing is on its way."""

    def look() -> Any:
        found = ledger(settings)
        assert found["events"]["accepted"] == events
        assert found["outcomes"]["accepted"] == outcomes
        assert found["events"]["in_flight"] == found["outcomes"]["in_flight"] == 0
        assert found["leads"]["pending"] == found["assignments"]["unpublished"] == 0
        assert sum(found["leads"][state] for state in ("nurturing", "assigned", "held", "closed")) == 8000
        assert found["leads"]["closed"] == min(outcomes, 842)
        return found

    return await eventually(look, deadline=SETTLE_SECONDS)


async def test_history_counts_at_its_dates_assigns_nobody_and_counts_once(stack: Settings) -> None:
    await asyncio.to_thread(import_history, stack)
    found = await settled(stack, events=8000, outcomes=842)
    assert found["events"]["applied"] == 8000
    assert found["outcomes"]["applied"] == 842
    assert (found["leads"]["nurturing"], found["leads"]["closed"]) == (7158, 842)
    assert found["assignments"]["published"] == 0
    assert {part: counts["unaccounted"] for part, counts in found.items()} == dict.fromkeys(found, 0)

    numbers = kpis(stack)
    assert counted(numbers, "leads") == by_month(LEADS, "first_contact_date")
    assert counted(numbers, "orders_won") == by_month(DEALS, "won_date")
    assert numbers["total"]["orders_won"] == 842
    declared = sum(Decimal(row["declared_monthly_revenue"]) for row in rows_of(DEALS))
    assert Decimal(numbers["total"]["revenue"]["BRL"]) == declared

    await asyncio.to_thread(import_history, stack)
    again = await settled(stack, events=16000, outcomes=1684)
    assert again["leads"] == found["leads"]
    assert (again["events"]["applied"], again["events"]["duplicates"]) == (8000, 8000)
    assert (again["outcomes"]["applied"], again["outcomes"]["duplicates"]) == (842, 842)
    after = kpis(stack)
    assert (after["total"], after["periods"]) == (numbers["total"], numbers["periods"])


async def test_live_every_lead_is_with_one_rep_or_held_with_a_reason(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "routing.yaml").write_text(ROUTING, encoding="utf-8")
    with running_stack(settings, lambda step: None) as live:
        import_leads(live, "--mode", "live")
        found = await settled(live, events=8000, outcomes=0)
    assert (found["leads"]["assigned"], found["leads"]["held"]) == (5500, 2500)
    assert {part: counts["unaccounted"] for part, counts in found.items()} == dict.fromkeys(found, 0)

    prefix, bootstrap = settings.topic_prefix, settings.kafka_bootstrap
    given = [
        msgspec.json.decode(record.value or b"", type=LeadAssignment)
        for record in read_all(bootstrap, prefix + "lead-assignments")
    ]
    assert Counter(one.rep.id for one in given) == {"ana": 2000, "bruno": 3500}
    assert {one.status for one in given} == {"assigned"}
    owned = {one.lead_id for one in given}
    assert len(owned) == len(given) == 5500
    decided = [
        msgspec.json.decode(record.value or b"", type=LeadDecision)
        for record in read_all(bootstrap, prefix + "lead-decisions")
    ]
    held = {one.lead_id: one.reason for one in decided if one.kind == "held" and one.lead_id not in owned}
    assert len(held) == 2500
    assert all(held.values())

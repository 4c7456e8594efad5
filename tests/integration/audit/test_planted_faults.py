"""Each fault planted behind the product's back shows in the exported metric, under its kind and no other."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from funnel.settings import Settings
from services.metrics import auditing
from tests.integration.audit.world import PATIENCE, World, altered, status_of, under, world
from tests.support import eventually
from tests.support.kafka import Record

LOSE = """
CREATE FUNCTION {schema}.lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lose BEFORE INSERT ON {schema}.outbox FOR EACH ROW WHEN (NEW.topic = '{topic}' AND {which})
EXECUTE FUNCTION {schema}.lose()
"""
"""Takes rows out of the outbox before anybody publishes them."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "AUDIT_SECONDS", 0.2)


def assigned(world: World) -> Record:
    return status_of(world.records("lead-assignments"), "assigned")


def insert_assignment(world: World) -> None:
    world.change(
        "INSERT INTO routing.assignment (assignment_id, lead_id, epoch, rep, pool, status, assigned_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'a', 'sales', 'active', now())"
    )


def insert_second_active(world: World) -> None:
    world.change("DROP INDEX routing.assignment_active")
    world.change(
        "INSERT INTO routing.assignment (assignment_id, lead_id, epoch, rep, pool, status, assigned_at)"
        " SELECT gen_random_uuid(), lead_id, 2, 'b', 'sales', 'active', now() FROM routing.assignment"
        " WHERE status = 'active' LIMIT 1"
    )


def produce_unknown(world: World) -> None:
    other = str(uuid4())
    world.produce("lead-assignments", under(altered(assigned(world), assignment_id=other), f"{other}:assigned"))


def produce_other_rep(world: World) -> None:
    told = under(altered(assigned(world), rep={"id": "z", "name": "Z", "email": None}), "by-hand")
    world.produce("lead-assignments", told)


def produce_other_body(world: World) -> None:
    world.produce("lead-assignments", altered(assigned(world), message="changed"))


def produce_repeat(world: World) -> None:
    world.produce("lead-assignments", assigned(world))


def produce_score(world: World) -> None:
    score = world.records("lead-scores")[0]
    world.produce("lead-scores", under(altered(score, version=9), "aborted"))


def sql(statement: str) -> Callable[[World], None]:
    return lambda world: world.change(statement)


ONE = "assignment_id = (SELECT assignment_id FROM routing.assignment WHERE status = 'active' ORDER BY 1 LIMIT 1)"

PLANTED: dict[str, tuple[Callable[[World], None], set[str]]] = {
    "the effect of an event is gone": (sql("DELETE FROM scoring.inbox WHERE event_id = 'e-0'"), {"effects_lost"}),
    "the effect of an outcome is gone": (sql("DELETE FROM routing.inbox WHERE event_id = 'o-1'"), {"effects_lost"}),
    "an event passes for another one": (
        sql("UPDATE scoring.inbox SET hash = '\\x00' WHERE event_id = 'e-0'"),
        {"ids_reused"},
    ),
    "routing has lost a qualified lead": (
        sql("DELETE FROM routing.lead WHERE lead_id = (SELECT lead_id FROM routing.lead LIMIT 1)"),
        {"leads_untaken"},
    ),
    "scoring has lost a lead": (
        sql("DELETE FROM scoring.lead WHERE lead_id = (SELECT lead_id FROM scoring.lead LIMIT 1)"),
        {"scores_ahead"},
    ),
    "a score nobody committed": (produce_score, {"scores_ahead"}),
    "a row was inserted": (insert_assignment, {"assignments_unpublished"}),
    "a second active row": (insert_second_active, {"assignments_doubled", "assignments_unpublished"}),
    "a record of no row": (produce_unknown, {"assignments_unknown"}),
    "a record that no one can read": (
        lambda world: world.produce("lead-assignments", Record(b"{}", b"k", {"ce_dataschema": b"lead_assignment.v2"})),
        {"assignments_unknown"},
    ),
    "a record with another rep": (produce_other_rep, {"assignments_differ"}),
    "a row was deleted": (sql(f"DELETE FROM routing.assignment WHERE {ONE}"), {"assignments_unknown"}),
    "a row has another rep and epoch": (
        sql(f"UPDATE routing.assignment SET rep = 'z', epoch = 7 WHERE {ONE}"),
        {"assignments_differ"},
    ),
    "an ended row is active again": (
        sql("UPDATE routing.assignment SET status = 'active', ended_at = NULL WHERE status = 'closed'"),
        {"assignments_differ"},
    ),
    "an active row has ended": (
        sql(f"UPDATE routing.assignment SET status = 'revoked', ended_at = now() WHERE {ONE}"),
        {"assignments_unpublished"},
    ),
    "one id with two bodies": (produce_other_body, {"ids_reused"}),
    "a repeat": (produce_repeat, {"assignments_repeated"}),
}


@pytest.mark.parametrize("planted", PLANTED)
async def test_what_is_planted_shows_under_its_kind(settings: Settings, planted: str) -> None:
    plant, kinds = PLANTED[planted]
    async with world(settings) as found:
        await found.rounds(3)
        assert found.ever_found() == set()
        plant(found)
        await eventually(lambda: found.shows(*kinds), deadline=PATIENCE)
        await found.rounds(3)
        assert found.ever_found() == kinds


@pytest.mark.parametrize(
    ("schema", "topic", "which", "kind"),
    [
        ("routing", "lead-assignments", "right(NEW.ce_id, 9) = ':assigned'", "assignments_unpublished"),
        ("routing", "lead-assignments", "right(NEW.ce_id, 7) = ':closed'", "assignments_unpublished"),
    ],
)
async def test_a_row_taken_from_the_outbox_shows(
    settings: Settings, schema: str, topic: str, which: str, kind: str
) -> None:
    lose = LOSE.format(schema=schema, topic=topic, which=which).split(";\n")
    async with world(settings, ";".join(lose[:1]), lose[1]) as found:
        await eventually(lambda: found.shows(kind), deadline=PATIENCE)
        ((rows, ended),) = found.rows("SELECT count(*), count(ended_at) FROM routing.assignment")
        assert (await found.unaccounted())[kind] == (ended if "closed" in which else rows)

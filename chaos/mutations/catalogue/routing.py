"""Routing: a lead has one owner, a rep no more leads than capacity, an outcome speaks for its own epoch."""

from chaos.mutations.mutation import Edit, Mutation

_SQL = "services/routing/sql/batch.sql"
_TABLES = "services/routing/migrations/versions/0001_init.sql"
_OUTCOMES = "services/routing/domain/outcomes.py"
_RACES = "tests/integration/routing/test_races.py"
_TESTS_OF_TABLES = "tests/integration/routing/test_tables.py"

MUTATIONS = (
    Mutation(
        name="one-active-assignment",
        safeguard="The table refuses a second active assignment of a lead.",
        removed="`UNIQUE` of the index `assignment_active`",
        without="A bug can give a lead to two reps, and nobody is told.",
        edits=(Edit(_TABLES, "CREATE UNIQUE INDEX assignment_active", "CREATE INDEX assignment_active"),),
        test=f"{_TESTS_OF_TABLES}::test_the_tables_refuse_what_the_promise_forbids",
    ),
    Mutation(
        name="one-assignment-per-epoch",
        safeguard="The table refuses a second assignment under the same epoch.",
        removed="`UNIQUE (lead_id, epoch)`",
        without="An outcome that names its epoch could mean two reps.",
        edits=(Edit(_TABLES, "    UNIQUE (lead_id, epoch),\n", ""),),
        test=f"{_TESTS_OF_TABLES}::test_the_tables_refuse_what_the_promise_forbids",
    ),
    Mutation(
        name="one-decision-per-number",
        safeguard="The table refuses two decisions with one number in a pool.",
        removed="`UNIQUE (pool, number)`",
        without="The order in which a pool's leads were given away cannot be proved.",
        edits=(Edit(_TABLES, "NOT NULL,\n    UNIQUE (pool, number)\n", "NOT NULL\n"),),
        test=f"{_TESTS_OF_TABLES}::test_the_tables_refuse_what_the_promise_forbids",
    ),
    Mutation(
        name="routing-version",
        safeguard="A record of a lead that is not newer than the last one seen changes nothing.",
        removed="the comparison of versions",
        without="A record that comes late puts the lead back to what it was.",
        edits=(Edit("services/routing/domain/scores.py", "if seen.version <= lead.score_version:", "if False:"),),
        test="tests/unit/routing/test_scores.py::test_an_older_version_of_a_lead_changes_nothing",
    ),
    Mutation(
        name="stale-epoch",
        safeguard="An outcome under an epoch that is over moves nothing.",
        removed="the ruling",
        without="A rep who lost the lead takes it from the one who has it now.",
        edits=(
            Edit(
                _OUTCOMES,
                "    if stale:\n        return Ruling(Kind.STALE",
                "    if False:\n        return Ruling(Kind.STALE",
            ),
        ),
        test="tests/unit/routing/test_outcomes.py::test_a_stale_epoch_changes_nothing",
    ),
    Mutation(
        name="stale-epoch-of-a-deal",
        safeguard="A deal reported under an epoch that is over counts, and moves nothing.",
        removed="the second half",
        without="A former owner's order ends the work of the present one.",
        edits=(Edit(_OUTCOMES, "    elif not stale:\n", "    else:\n"),),
        test="tests/unit/routing/test_outcomes.py::test_a_deal_reported_under_a_stale_epoch_counts_and_moves_nothing",
    ),
    Mutation(
        name="capacity",
        safeguard="A rep who is at capacity is passed over.",
        removed="the check",
        without="One rep drowns in leads.",
        edits=(
            Edit(
                "services/routing/domain/assign.py", "return None if rep.free else Skipped.AT_CAPACITY", "return None"
            ),
        ),
        test="tests/unit/routing/test_assign.py::test_the_best_leads_get_the_last_slots_and_the_others_are_held",
    ),
    Mutation(
        name="routing-lock-leads",
        safeguard="A lead is locked before it is decided about.",
        removed="`FOR UPDATE`",
        without="Of two records at once the older one is decided on the state before, and overwrites the newer.",
        edits=(
            Edit(
                _SQL,
                "ORDER BY lead.lead_id\nFOR UPDATE\n",
                "ORDER BY lead.lead_id\n",
            ),
        ),
        test=f"{_RACES}::test_an_older_record_waits_for_a_newer_one_that_has_read_the_lead_and_changes_nothing",
    ),
    Mutation(
        name="routing-lock-pools",
        safeguard="A pool is locked while leads are given away in it.",
        removed="`FOR UPDATE`",
        without="Two replicas turn the rotation at once: the same number twice, one turn lost.",
        edits=(Edit(_SQL, "ORDER BY name FOR UPDATE", "ORDER BY name"),),
        test=f"{_RACES}::test_of_many_replicas_racing_for_the_last_slot_one_gets_it",
    ),
    Mutation(
        name="routing-lock-reps",
        safeguard="Reps are locked while their slots are given away.",
        removed="`FOR UPDATE`",
        without="A rep in two pools gets more leads than their capacity.",
        edits=(Edit(_SQL, "\nORDER BY id\nFOR UPDATE\n", "\nORDER BY id\n"),),
        test=f"{_RACES}::test_a_rep_in_two_pools_never_has_more_than_their_capacity",
    ),
    Mutation(
        name="routing-claims-names",
        safeguard="A name that nobody has is claimed, and so locked, by the outcome that waits under it.",
        removed="the claim: names without a lead are only looked up",
        without="An outcome and its lead that arrive at once miss each other, and the outcome waits for ever.",
        edits=(
            Edit(
                _SQL,
                "ON CONFLICT (name) DO UPDATE SET lead_id = coalesce(identifier.lead_id, excluded.lead_id)",
                "ON CONFLICT (name) DO NOTHING",
            ),
        ),
        test=f"{_RACES}::test_an_outcome_and_its_lead_that_arrive_at_once_always_meet",
    ),
    Mutation(
        name="held-skip-locked",
        safeguard="A release does not wait for a held lead that another transaction has.",
        removed="`SKIP LOCKED`",
        without="Releases and arrivals wait for each other in a circle.",
        edits=(Edit(_SQL, "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),),
        test=f"{_RACES}::test_the_releaser_does_not_wait_for_a_held_lead_that_another_transaction_has",
    ),
    Mutation(
        name="held-touched-is-drained",
        safeguard="Whoever has a held lead locked also locks its pool and drains it.",
        removed="the pools of held leads",
        without="A lead that a release had to skip stays held though somebody is free.",
        edits=(
            Edit(
                "services/routing/domain/needs.py",
                "{lead.pool for lead in leads.values() if lead.state is State.HELD and lead.pool}",
                "set()",
            ),
        ),
        test=f"{_RACES}::test_whoever_holds_a_held_lead_that_a_release_skipped_gives_it_away",
    ),
    Mutation(
        name="freed-slot-is-used",
        safeguard="An outcome that frees a slot gives it to the best held lead at once.",
        removed="counting the slot as free",
        without="Held leads wait for the releaser.",
        edits=(Edit("services/routing/domain/needs.py", "freed[lead.rep] += 1", "pass"),),
        test=f"{_TESTS_OF_TABLES}::test_an_end_gives_the_slot_to_the_best_held_lead_even_of_another_pool",
    ),
    Mutation(
        name="held-are-released",
        safeguard="Held leads are looked at when somebody can take more, and each second.",
        removed="the releaser's look",
        without="Leads that were held before the first rep came are held for ever.",
        edits=(
            Edit(
                "services/routing/releaser.py",
                "                    await self.release()\n",
                "                    pass\n",
            ),
        ),
        test="tests/integration/routing/test_service.py::test_without_any_rep_leads_are_held_and_the_first_rep_gets_them",
    ),
)

"""Scoring: locks in order, and state that is read after they are held."""

from chaos.mutations.mutation import Edit, Mutation

_SQL = "services/scoring/sql/events.sql"
_HANDLERS = "services/scoring/handlers.py"
_RACES = "tests/integration/scoring/test_races.py"

MUTATIONS = (
    Mutation(
        name="scoring-lock-identifiers",
        safeguard="The identifiers of a batch are locked before anything is decided about them.",
        removed="`FOR UPDATE OF identifier`",
        without="Two replicas that meet a known visitor at once decide by what was before.",
        edits=(Edit(_SQL, "\nFOR UPDATE OF identifier", ""),),
        test=f"{_RACES}::test_a_visit_of_a_known_visitor_waits_for_the_form_that_identifies_it",
    ),
    Mutation(
        name="scoring-lock-leads",
        safeguard="Leads are locked before they are read.",
        removed="`FOR UPDATE`",
        without="Of two events of a person at once one overwrites the other.",
        edits=(Edit(_SQL, "ORDER BY lead_id FOR UPDATE", "ORDER BY lead_id"),),
        test=f"{_RACES}::test_events_of_a_known_lead_through_different_identifiers_wait_for_each_other",
    ),
    Mutation(
        name="scoring-lock-before-load",
        safeguard="Leads are read in a statement after the one that waits for their locks.",
        removed="the order: they are read, then locked",
        without="The state is that of before the wait, and the other transaction's work is overwritten.",
        edits=(
            Edit(_HANDLERS, "        await store.lock_leads(tx, lead_ids)\n", ""),
            Edit(
                _HANDLERS,
                "        leads = await store.load_leads(tx, keys.lead_ids)\n",
                "        leads = await store.load_leads(tx, keys.lead_ids)\n"
                "        await store.lock_leads(tx, keys.lead_ids)\n",
            ),
        ),
        test=f"{_RACES}::test_events_of_a_known_lead_through_different_identifiers_wait_for_each_other",
    ),
    Mutation(
        name="scoring-locks-in-order",
        safeguard="Locks are taken in one order.",
        removed="the one order: each session has an order of its own",
        without="Replicas that share people deadlock again and again.",
        edits=(
            Edit(_SQL, 'ORDER BY kind COLLATE "C", value COLLATE "C"', "ORDER BY md5(value || pg_backend_pid())"),
            Edit(
                _SQL,
                "ORDER BY identifier.kind, identifier.value\n",
                "ORDER BY md5(identifier.value || pg_backend_pid())\n",
            ),
        ),
        test=f"{_RACES}::test_transactions_that_share_many_people_never_deadlock",
    ),
)

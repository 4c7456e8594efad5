"""The ledger: what is counted, in which order it is read, and who says how much there should be."""

from chaos.mutations.mutation import Edit, Mutation

_RECEIPTS = "services/ingest/receipts.py"
_LEADS = "services/metrics/domain/leads.py"
_BOOKS = "services/metrics/books.py"

MUTATIONS = (
    Mutation(
        name="ends-after-positions",
        safeguard="The ends of the logs are read after the positions and the receipts.",
        removed="the order",
        without="Records that come in while the ledger is read look lost.",
        edits=(
            Edit(
                _BOOKS,
                "    async def _read(self) -> tuple[_Rows, LogBounds]:\n",
                "    async def _read(self) -> tuple[_Rows, LogBounds]:\n        bounds = await self._bounds()\n",
            ),
            Edit(_BOOKS, "spool), await self._bounds()", "spool), bounds"),
        ),
        test="tests/integration/metrics/test_second_witness.py::test_what_comes_in_while_the_ledger_is_read_looks_like_no_loss",
    ),
    Mutation(
        name="ledger-sees-uncommitted",
        safeguard="The ledger counts records behind a transaction that an outsider left open.",
        removed="`read_uncommitted`",
        without="Records that were answered for look lost.",
        edits=(Edit(_BOOKS, 'isolation="read_uncommitted"', 'isolation="read_committed"'),),
        test="tests/integration/metrics/test_second_witness.py::test_records_behind_an_open_transaction_of_somebody_else_are_not_missing",
    ),
    Mutation(
        name="differences-per-partition",
        safeguard="What is missing in one partition is not made up for by a surplus in another.",
        removed="taking each difference without its sign",
        without="A loss and a double count cancel out.",
        edits=(Edit("funnel/ledger.py", "unaccounted=abs(passed - counted) +", "unaccounted=(passed - counted) +"),),
        test="tests/unit/metrics/test_conservation.py::test_a_loss_in_one_partition_is_not_hidden_by_a_surplus_in_another",
    ),
    Mutation(
        name="second-witness",
        safeguard="What ingest called stored must be in the log or in the spool.",
        removed="the comparison",
        without="Records that were gone before anybody read them are missed by nobody.",
        edits=(
            Edit(
                "funnel/ledger.py", "missing = max(0, answered - held - spool.should_hold) + taken", "missing = taken"
            ),
        ),
        test="tests/unit/metrics/test_second_witness.py::test_a_record_that_vanished_from_the_middle_of_the_log_is_missing",
    ),
    Mutation(
        name="spool-account",
        safeguard="Rows that leave the spool unpublished are missing.",
        removed="the comparison with the spool's own account",
        without="Somebody who deletes from the spool deletes leads unseen.",
        edits=(Edit("funnel/ledger.py", "taken = max(0, spool.should_hold - spool.holds)", "taken = 0"),),
        test="tests/unit/metrics/test_second_witness.py::test_rows_taken_out_of_the_spool_unpublished_are_missing_once_each_whether_ingest_has_told_of_them_or_not",
    ),
    Mutation(
        name="receipts-until-stored",
        safeguard="A receipt goes out until it is stored.",
        removed="keeping it",
        without="The second witness forgets what it vouched for in an outage.",
        edits=(
            Edit(
                _RECEIPTS,
                "[record for record, one in zip(sending, stored, strict=True) if one is Stored.UNKNOWN]",
                "[]",
            ),
        ),
        test="tests/unit/ingest/test_receipts.py::test_a_receipt_that_may_not_have_arrived_goes_out_again_as_it_was",
    ),
    Mutation(
        name="receipts-count-the-stored",
        safeguard="Receipts count what was answered as stored, and nothing else.",
        removed="the difference: everything that came in is counted",
        without="Refused items look lost, and the alarm means nothing.",
        edits=(
            Edit(
                "services/ingest/handlers.py",
                "self._receipts.add(kind, _count(kind, verdicts, answers))",
                "self._receipts.add(kind, len(answers))",
            ),
        ),
        test="tests/integration/ingest/test_intake.py::test_the_second_witness_agrees_with_the_topics",
    ),
    Mutation(
        name="metrics-score-version",
        safeguard="Metrics ignores a record of scoring that is not newer than the last.",
        removed="the comparison of versions",
        without="A late record puts a lead back, and counts it as new again.",
        edits=(Edit(_LEADS, "if score.version <= lead.score_version:", "if False:"),),
        test="tests/unit/metrics/test_lead_state.py::test_older_versions_change_no_state",
    ),
    Mutation(
        name="metrics-routing-version",
        safeguard="Metrics ignores a decision of routing that is older than the last.",
        removed="the comparison of versions",
        without="The ledger shows leads where they were, not where they are.",
        edits=(
            Edit(
                _LEADS, "if decision.state is not None and seen >= lead.routing_seen:", "if decision.state is not None:"
            ),
        ),
        test="tests/unit/metrics/test_lead_state.py::test_older_versions_change_no_state",
    ),
    Mutation(
        name="metrics-lock-leads",
        safeguard="Metrics locks its leads before it reads them.",
        removed="`FOR UPDATE`",
        without="Two topics of one lead read at once by two replicas overwrite each other.",
        edits=(Edit("services/metrics/sql/leads.sql", "ORDER BY lead_id FOR UPDATE", "ORDER BY lead_id"),),
        test="tests/integration/metrics/test_races.py::test_two_topics_of_one_lead_at_once_are_both_counted",
    ),
)

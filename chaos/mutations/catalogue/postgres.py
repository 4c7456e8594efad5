"""Connections: what each error means, which deadlines there are, what the server must promise."""

from chaos.mutations.mutation import Edit, Mutation

_DATABASE = "funnel/postgres/database.py"
_ERRORS = "tests/integration/spine/test_errors_of_the_database.py"

MUTATIONS = (
    Mutation(
        name="deadlock-is-a-conflict",
        safeguard="A deadlock is a conflict: nothing happened, the batch is redone.",
        removed="`40P01` from the list",
        without="Two replicas that meet stop a partition until a person comes.",
        edits=(Edit(_DATABASE, '("40001", "40P01", "55P03")', '("40001", "55P03")'),),
        test=f"{_ERRORS}::test_a_transaction_that_met_another_one_is_a_conflict",
    ),
    Mutation(
        name="our-bug-is-no-bad-data",
        safeguard="An argument of the wrong type is our bug, not bad data.",
        removed="the exception for it",
        without="A bug of ours empties the topic into quarantine.",
        edits=(Edit(_DATABASE, "if isinstance(error.__cause__, TypeError):", "if False:"),),
        test=f"{_ERRORS}::test_an_argument_of_the_wrong_type_is_a_bug_not_bad_data",
    ),
    Mutation(
        name="commit-without-deadline",
        safeguard="The deadline for answers does not interrupt COMMIT.",
        removed="its own, longer one",
        without="The client cancels a commit that waits for the standby, and takes it for failed.",
        edits=(Edit(_DATABASE, "execute(_COMMIT, timeout=_NO_DEADLINE_SECONDS)", "execute(_COMMIT)"),),
        test=f"{_ERRORS}::test_no_deadline_of_ours_interrupts_a_commit",
    ),
    Mutation(
        name="idle-in-transaction",
        safeguard="The server ends a session that stops talking inside a transaction.",
        removed="`idle_in_transaction_session_timeout`",
        without="A frozen process holds its locks for ever, and nobody can take over.",
        edits=(Edit(_DATABASE, '"idle_in_transaction_session_timeout": ', '"funnel.idle_in_transaction": '),),
        test="tests/integration/spine/test_replicas.py::test_an_owner_frozen_inside_its_transaction_is_taken_over_and_its_work_thrown_away",
    ),
    Mutation(
        name="rolled-back",
        safeguard="A block that raises leaves nothing behind.",
        removed="`ROLLBACK`: the transaction is committed",
        without="Half a batch is kept.",
        edits=(Edit(_DATABASE, 'await connection.execute("ROLLBACK")', 'await connection.execute("COMMIT")'),),
        test=f"{_ERRORS}::test_what_raises_inside_a_transaction_leaves_nothing_behind",
    ),
    Mutation(
        name="commits-that-wait",
        safeguard="A service does not start on a database whose commits do not wait for the disk.",
        removed="the check of `synchronous_commit`",
        without="A crash of Postgres loses what was called stored.",
        edits=(Edit("funnel/postgres/checks.py", 'if row["synchronous_commit"] in ("off", "local"):', "if False:"),),
        test="tests/integration/kafka/test_checks.py::test_commits_that_do_not_wait_are_refused",
    ),
)

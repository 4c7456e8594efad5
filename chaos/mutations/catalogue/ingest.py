"""Ingest: what is answered with 202 is stored, and a request that is sent again is the same request."""

from chaos.mutations.mutation import Edit, Mutation

_STORAGE = "services/ingest/storage.py"
_SPOOL = "services/ingest/spool.py"
_SQL = "services/ingest/sql/spool.sql"
_IDEMPOTENCY = "services/ingest/idempotency.py"
_TEST = "tests/unit/ingest/test_storage.py"
_TEST_SPOOL = "tests/integration/ingest/test_spool.py"
_TEST_IDEMPOTENCY = "tests/integration/ingest/test_idempotency.py"

MUTATIONS = (
    Mutation(
        name="answer-after-acknowledgement",
        safeguard="A record counts as stored after Kafka acknowledged it.",
        removed="waiting for it",
        without="A 202 is given for records that nobody has.",
        edits=(
            Edit(
                _STORAGE,
                "stored = [_stored(result) for result in await self._kafka.publish(records)]",
                "_ = asyncio.ensure_future(self._kafka.publish(records)); stored = [Stored.LOG] * len(records)",
            ),
        ),
        test=f"{_TEST}::test_a_silent_kafka_is_waited_for_once_and_never_gets_the_records_later",
    ),
    Mutation(
        name="failed-is-not-stored",
        safeguard="A record that Kafka did not acknowledge is not called stored.",
        removed="the difference",
        without="A 202 is given for records that nobody has.",
        edits=(Edit(_STORAGE, "Stored.TOO_LARGE if result.too_large else Stored.UNKNOWN", "Stored.LOG"),),
        test=f"{_TEST}::test_with_both_away_nothing_is_vouched_for",
    ),
    Mutation(
        name="unacknowledged-is-spooled",
        safeguard="What Kafka does not take is put into the spool before it is answered.",
        removed="putting it there",
        without="While Kafka is away every lead is refused.",
        edits=(
            Edit(_STORAGE, "                await self._spool.put(rest)\n", "                raise SpoolAway('')\n"),
        ),
        test=f"{_TEST}::test_only_what_kafka_did_not_acknowledge_goes_to_the_spool_and_as_it_is",
    ),
    Mutation(
        name="answer-after-commit",
        safeguard="A record counts as spooled after Postgres committed it.",
        removed="waiting for it",
        without="A 202 is given for records that nobody has.",
        edits=(Edit(_SPOOL, "                await entry.done\n", "                await asyncio.sleep(0)\n"),),
        test=f"{_TEST_SPOOL}::test_a_postgres_that_is_away_is_said_to_be_away",
    ),
    Mutation(
        name="spool-on-safe-postgres",
        safeguard="Each time records are spooled Postgres is asked whether it keeps what it commits.",
        removed="the question",
        without="Settings that were changed at run time make a 202 a lie.",
        edits=(
            Edit(
                _SPOOL,
                'we run."""\n        async with self._transaction() as tx:\n            await assert_durable',
                'we run."""\n        async with self._transaction() as tx:\n            _ = tx or await assert_durable',
            ),
        ),
        test=f"{_TEST_SPOOL}::test_a_postgres_that_may_forget_is_given_nothing",
    ),
    Mutation(
        name="spool-claims",
        safeguard="Spooled rows that one process has in hand are given to no other.",
        removed="`claimed_until < now()`",
        without="Each process publishes the whole spool.",
        edits=(Edit(_SQL, "WHERE claimed_until < now() AND id > $5", "WHERE id > $5"),),
        test=f"{_TEST_SPOOL}::test_what_one_has_in_hand_no_other_gets",
    ),
    Mutation(
        name="spool-claims-at-once",
        safeguard="Two processes that claim at the same moment get different rows.",
        removed="`FOR UPDATE SKIP LOCKED`",
        without="Both publish the same rows.",
        edits=(Edit(_SQL, "ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED", "ORDER BY id LIMIT $3"),),
        test=f"{_TEST_SPOOL}::test_who_claims_while_another_does_gets_other_rows",
    ),
    Mutation(
        name="release-own-claims",
        safeguard="A process gives free only the rows that it has in hand.",
        removed="`AND claimed_by = $1`",
        without="A slow process makes rows free that another is publishing.",
        edits=(
            Edit(_SQL, "WHERE id = ANY($2::bigint[]) AND claimed_by = $1", "WHERE id = ANY($2::bigint[]) AND $1 <> ''"),
        ),
        test=f"{_TEST_SPOOL}::test_what_one_has_in_hand_no_other_gets",
    ),
    Mutation(
        name="drain-after-acknowledgement",
        safeguard="A row leaves the spool after Kafka acknowledged its record.",
        removed="the difference: all rows that were tried are taken out",
        without="Records that Kafka refused are gone from the only place they were in.",
        edits=(
            Edit(
                _STORAGE,
                "[row for row, result in results.items() if isinstance(result, Acknowledged)]",
                "list(results)",
            ),
        ),
        test=f"{_TEST}::test_a_row_kafka_refuses_beside_others_keeps_its_claim",
    ),
    Mutation(
        name="drained-is-remembered",
        safeguard="Rows that are published but could not be taken out yet are not published again.",
        removed="remembering them",
        without="While Postgres is away in the wrong moment everything is published again and again.",
        edits=(
            Edit(
                _STORAGE,
                "            await self._spool.forget(self._published)\n",
                "            published, self._published = self._published, []\n"
                "            await self._spool.forget(published)\n",
            ),
        ),
        test=f"{_TEST}::test_what_is_published_is_not_published_again_because_it_could_not_be_taken_out",
    ),
    Mutation(
        name="idempotency-fingerprint",
        safeguard="An Idempotency-Key stands for one body.",
        removed="the comparison of the fingerprints",
        without="A second, different request gets the answer of the first, and its leads are lost.",
        edits=(Edit(_IDEMPOTENCY, "if found.fingerprint != fingerprint:", "if False:"),),
        test=f"{_TEST_IDEMPOTENCY}::test_another_body_under_the_same_key_is_refused",
    ),
    Mutation(
        name="idempotency-in-progress",
        safeguard="A repeat that comes while the first request is at work waits for its answer.",
        removed="the refusal: the work is done again",
        without="A client that repeats too soon has two requests at work.",
        edits=(
            Edit(
                _IDEMPOTENCY,
                "            raise _in_progress()\n",
                "            return await self._work(request, attempt, work)\n",
            ),
        ),
        test=f"{_TEST_IDEMPOTENCY}::test_of_two_processes_at_the_same_time_one_works_and_the_other_is_told_to_wait",
    ),
    Mutation(
        name="idempotency-attempt",
        safeguard="Work that was taken over keeps no answer when it ends after all.",
        removed="`AND attempt = $4` where the answer is kept",
        without="The answer that was already given is changed under the client.",
        edits=(
            Edit(
                "services/ingest/sql/idempotency.sql",
                "body = $8\nWHERE source = $1 AND path = $2 AND key = $3 AND attempt = $4",
                "body = $8\nWHERE source = $1 AND path = $2 AND key = $3 AND $4::text <> ''",
            ),
        ),
        test=f"{_TEST_IDEMPOTENCY}::test_work_that_was_taken_over_and_ends_after_all_changes_nothing",
    ),
    Mutation(
        name="idempotency-unsettled",
        safeguard='An answer that says "send it again" is not kept.',
        removed="the condition",
        without="A client that does as it is told never gets its lead stored.",
        edits=(Edit(_IDEMPOTENCY, "return answer.settled and (", "return True or ("),),
        test=f"{_TEST_IDEMPOTENCY}::test_a_batch_of_which_some_may_be_sent_again_is_not_kept",
    ),
    Mutation(
        name="ids-from-the-key",
        safeguard="Items without an id get the same id when their request is repeated under its key.",
        removed="deriving it: each time there is a new one",
        without="A repeat that could not be recognised is a second lead event.",
        edits=(
            Edit(
                "services/ingest/handlers.py",
                "return lambda index: derived_event_id(source, path, idempotency_key, index)",
                "return fresh_id",
            ),
        ),
        test="tests/integration/ingest/test_intake.py::test_a_request_that_cannot_be_recognised_has_the_same_ids_when_it_is_repeated",
    ),
    Mutation(
        name="repeats-in-a-request",
        safeguard="The same item twice in one request is stored once.",
        removed="finding repeats",
        without="Repeats of a broken client fill the log.",
        edits=(
            Edit(
                "services/ingest/handlers.py",
                "verdicts = without_repeats(acceptance.judge_all(items, id_of))",
                "verdicts = acceptance.judge_all(items, id_of)",
            ),
        ),
        test="tests/integration/ingest/test_intake.py::test_a_batch_stores_the_good_and_names_the_bad",
    ),
)

"""What is read from the log: gaps, its start, its identity, what is committed."""

from chaos.mutations.mutation import Edit, Mutation

_CHUNKS = "funnel/spine/chunks.py"
_LOOP = "funnel/spine/loop.py"
_POSITIONS = "funnel/spine/positions.py"
_UNIT = "tests/unit/spine/test_chunks.py"
_LOGS = "tests/integration/spine/test_logs_that_do_not_continue.py"

MUTATIONS = (
    Mutation(
        name="gap-check",
        safeguard="Records behind a gap are not applied before the gap was looked at again.",
        removed="the first look at a gap",
        without="A client that skips records makes them lost, and they pass for control records.",
        edits=(Edit(_CHUNKS, "if records[0].offset > cursor.missing_to(cursor.next):", "if False:"),),
        test=f"{_UNIT}::test_a_gap_is_read_again_before_it_is_believed",
    ),
    Mutation(
        name="gap-inside-a-batch",
        safeguard="A batch ends before a gap inside it.",
        removed="the cut",
        without="Records missing in the middle of what was fetched are lost.",
        edits=(Edit(_CHUNKS, "straight = _straight(records)", "straight = records"),),
        test=f"{_UNIT}::test_a_gap_inside_a_batch_cuts_it_and_is_the_first_look",
    ),
    Mutation(
        name="gap-below-log-start",
        safeguard="A gap that reaches below the start of the log stops the partition.",
        removed="the comparison with the start of the log",
        without="Records that retention removed while the service was reading pass for control records.",
        edits=(Edit(_LOOP, "if begin > cursor.next:", "if False:"),),
        test="tests/unit/spine/test_loop.py::test_a_gap_below_the_start_of_the_log_stops_the_partition",
    ),
    Mutation(
        name="trailing-gap-second-look",
        safeguard="Offsets at the end of the log that show no record are believed at the second look only.",
        removed="the first look",
        without="A client that runs ahead of its records makes them lost.",
        edits=(Edit(_LOOP, "believed = min(end, cursor.missing_to(cursor.next))", "believed = end"),),
        test="tests/unit/spine/test_loop.py::test_a_client_that_is_ahead_of_its_records_is_sent_back_once",
    ),
    Mutation(
        name="claimed-below-log-start",
        safeguard="A position below the start of the log stops the partition when it is claimed.",
        removed="the comparison with the start of the log",
        without="Records that retention removed unread are skipped without a word.",
        edits=(Edit(_POSITIONS, "if position < begin:", "if False:"),),
        test=f"{_LOGS}::test_records_that_retention_removed_before_they_were_read_stop_the_partition",
    ),
    Mutation(
        name="claimed-beyond-log-end",
        safeguard="A position beyond the end of the log stops the partition when it is claimed.",
        removed="the comparison with the end of the log",
        without="A truncated topic is waited for for ever, and its new records are skipped when it has grown.",
        edits=(Edit(_POSITIONS, "if position > end:", "if False:"),),
        test=f"{_LOGS}::test_a_recreated_topic_that_is_shorter_stops_the_partition",
    ),
    Mutation(
        name="fingerprint-at-claim",
        safeguard="After a claim the last applied record is read again and must be the same one.",
        removed="the fingerprint that a claimed cursor is given",
        without="A recreated topic that has grown past the position loses all records before it.",
        edits=(Edit(_POSITIONS, "verify=last_ce_id if position > begin else None", "verify=None"),),
        test=f"{_LOGS}::test_a_recreated_topic_that_is_longer_stops_the_partition_too",
    ),
    Mutation(
        name="fingerprint-as-stored",
        safeguard="The fingerprint of a record is compared in the form in which Postgres keeps it.",
        removed="making NUL visible in it",
        without="A foreign id with a NUL in it stops its partition at the next claim, for good.",
        edits=(Edit(_CHUNKS, "return storable(header(", "return str(header("),),
        test=f"{_LOGS}::test_an_id_that_postgres_cannot_hold_is_recognised_at_the_next_claim",
    ),
    Mutation(
        name="read-committed",
        safeguard="Only committed records are read.",
        removed="`read_committed` as the default of the consumer",
        without="Records of an aborted transaction have effects.",
        edits=(
            Edit(
                "funnel/kafka/consumer.py",
                'isolation: Isolation = "read_committed"',
                'isolation: Isolation = "read_uncommitted"',
            ),
        ),
        test=f"{_LOGS}::test_records_of_an_aborted_transaction_are_never_applied",
    ),
    Mutation(
        name="newer-version-waits",
        safeguard="A record in a schema version from the future pauses its partition.",
        removed="the pause: it is put aside like bytes that cannot be read",
        without="During a rolling upgrade good records land in quarantine.",
        edits=(
            Edit(
                _CHUNKS,
                "            return items, str(error)\n",
                "            items.append(Poisoned(topic, record, *_identity(topic, record), str(error)))\n",
            ),
        ),
        test="tests/integration/spine/test_outcomes_of_a_record.py::test_a_record_in_a_newer_schema_waits_for_the_upgrade",
    ),
)

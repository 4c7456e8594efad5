"""One transaction per batch: the inbox, quarantine, what is redone and what stops."""

from chaos.mutations.mutation import Edit, Mutation

_BATCH = "funnel/spine/sql/batch.sql"
_LOOP = "funnel/spine/loop.py"
_TRANSACTION = "funnel/spine/transaction.py"
_OUTCOMES = "tests/integration/spine/test_outcomes_of_a_record.py"
_CONFLICTS = "tests/integration/spine/test_conflicts.py"

MUTATIONS = (
    Mutation(
        name="inbox",
        safeguard="An event whose id is in the inbox has no second effect.",
        removed="the answer of the inbox: every event of a batch passes for new",
        without="Each repeat of a producer, a relay or an operator counts again.",
        edits=(Edit(_TRANSACTION, 'new = {(row["source"], row["event_id"]) for row in rows}', "new = set(first)"),),
        test=f"{_OUTCOMES}::test_a_repeat_in_a_later_batch_has_no_effect",
    ),
    Mutation(
        name="inbox-on-conflict",
        safeguard="A repeat is found by the unique key of the inbox, without an error.",
        removed="`ON CONFLICT DO NOTHING`",
        without="A repeat is refused by Postgres like bad data, and lands in quarantine.",
        edits=(
            Edit(
                _BATCH,
                "$3::bytea[]) AS r (source, event_id, hash)\nON CONFLICT DO NOTHING",
                "$3::bytea[]) AS r (source, event_id, hash)",
            ),
        ),
        test=f"{_OUTCOMES}::test_a_repeat_in_a_later_batch_has_no_effect",
    ),
    Mutation(
        name="repeat-in-one-batch",
        safeguard="Of the same event twice in one batch one counts.",
        removed="the shortcut's condition: a batch counts as new when each id is new",
        without="A producer that repeats at once has its event counted twice.",
        edits=(Edit(_TRANSACTION, "if len(new) == len(messages):", "if len(new) == len(first):"),),
        test=f"{_OUTCOMES}::test_each_event_has_its_effect_once_however_often_it_lies_in_the_log",
    ),
    Mutation(
        name="hash-of-repeats",
        safeguard="A repeat has the same body; the same id with another body is put aside.",
        removed="the comparison of the hashes",
        without="An event whose id was used before by mistake is dropped as a duplicate.",
        edits=(Edit(_TRANSACTION, "if hashes.get((message.source, message.event_id)) == message.hash:", "if hashes:"),),
        test=f"{_OUTCOMES}::test_an_id_used_again_with_another_body_is_quarantined_not_dropped",
    ),
    Mutation(
        name="rejected-leaves-the-inbox",
        safeguard="What a service rejected is not in the inbox, so that it can be replayed.",
        removed="taking it out",
        without="A replay from quarantine passes for a duplicate: the event is lost.",
        edits=(Edit(_TRANSACTION, "await _forget(tx, rejected)", "pass"),),
        test=f"{_OUTCOMES}::test_what_the_service_rejects_can_be_replayed_later",
    ),
    Mutation(
        name="inbox-in-order",
        safeguard="Ids enter the inbox in one order, whatever their order in the log.",
        removed="sorting them",
        without="Two replicas with the same ids in another order wait for each other: a deadlock for every such pair.",
        edits=(Edit(_TRANSACTION, "ordered = sorted(first)", "ordered = list(first)"),),
        test=f"{_CONFLICTS}::test_batches_with_the_same_ids_in_another_order_do_not_deadlock",
    ),
    Mutation(
        name="quarantine-whole",
        safeguard="Quarantine keeps the bytes of the record.",
        removed="the value",
        without="Nothing can be looked at, corrected or replayed.",
        edits=(Edit(_TRANSACTION, "[i.record.value for i in items]", "[None for i in items]"),),
        test=f"{_OUTCOMES}::test_bytes_that_cannot_be_read_go_to_quarantine_whole",
    ),
    Mutation(
        name="quarantine-storable",
        safeguard="What is written about a record in quarantine is text that Postgres can hold.",
        removed="escaping NUL and lone surrogates in ids",
        without="A record whose id holds a NUL can be neither applied nor put aside; its partition ends.",
        edits=(Edit(_TRANSACTION, "[storable(i.event_id) for i in items]", "[i.event_id for i in items]"),),
        test=f"{_OUTCOMES}::test_an_id_that_postgres_cannot_hold_is_put_aside_readable",
    ),
    Mutation(
        name="recount",
        safeguard="The counters of a position tell applied, duplicates and quarantined apart.",
        removed="the correction after the batch",
        without="The ledger calls repeats applied, and quarantined records too.",
        edits=(Edit(_TRANSACTION, "await _recount(tx, items.duplicates, quarantined)", "pass"),),
        test=f"{_OUTCOMES}::test_an_id_used_again_with_another_body_is_quarantined_not_dropped",
    ),
    Mutation(
        name="bad-data-is-narrowed-down",
        safeguard="What Postgres refuses is halved until the record at fault is alone.",
        removed="the halving",
        without="One name with a NUL takes its neighbours out of the funnel.",
        edits=(Edit(_LOOP, "if len(chunk.items) > 1:", "if False:"),),
        test=f"{_OUTCOMES}::test_text_that_postgres_refuses_is_found_among_its_neighbours",
    ),
    Mutation(
        name="bug-stops",
        safeguard="A bug in a handler stops its partition; it never passes for bad data.",
        removed="the difference: records that meet a bug are put aside",
        without="A faulty release empties the topic into quarantine.",
        edits=(Edit(_LOOP, "except BadData as error:", "except (BadData, Bug) as error:"),),
        test=f"{_OUTCOMES}::test_a_bug_stops_its_partition_loudly_and_no_other",
    ),
    Mutation(
        name="bug-stops-one",
        safeguard="A bug stops the partition with the record that meets it, and no other.",
        removed="applying the partitions of the batch one by one",
        without="One record halts every partition that was read together with it.",
        edits=(
            Edit(
                _LOOP,
                "                    await self._apply([chunk])\n            else:",
                "                    self._give_up(chunk, error)\n            else:",
            ),
        ),
        test="tests/unit/spine/test_loop.py::test_a_bug_stops_its_partition_and_not_those_read_with_it",
    ),
    Mutation(
        name="conflict-retry",
        safeguard="A transaction that met another one is redone.",
        removed="the retry",
        without="A deadlock or a lock that took too long ends the process.",
        edits=(Edit(_LOOP, "            except Conflict:\n", "            except ZeroDivisionError:\n"),),
        test=f"{_CONFLICTS}::test_a_batch_that_met_another_transaction_is_redone",
    ),
    Mutation(
        name="outbox-in-the-transaction",
        safeguard="What is published is a row of the transaction that decided it.",
        removed="the transaction: the relay is given the rows outside of it, before the commit",
        without="A batch that is rolled back has been told to the world.",
        edits=(
            Edit(
                _TRANSACTION,
                "            await outbox.put(tx, decision.outgoing)\n",
                "            async with database.transaction() as other:\n"
                "                await outbox.put(other, decision.outgoing)\n",
            ),
        ),
        test=f"{_CONFLICTS}::test_a_batch_that_met_another_transaction_is_redone",
    ),
)

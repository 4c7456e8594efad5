"""From the outbox to the topics: sent, acknowledged, forgotten, in that order and by one relay."""

from chaos.mutations.mutation import Edit, Mutation

_RELAY = "funnel/spine/relay.py"
_SQL = "funnel/spine/sql/relay.sql"
_TEST = "tests/integration/spine/test_relay.py"
_SEND = "results = await self._producer.publish([self._record(row) for row in rows])\n"

MUTATIONS = (
    Mutation(
        name="sends-are-awaited",
        safeguard="A row of the outbox is forgotten after its record is acknowledged.",
        removed="the `await`: sending is begun, and the rows are forgotten",
        without="Whatever Kafka does not take is lost.",
        edits=(
            Edit(
                _RELAY,
                _SEND,
                "sending = asyncio.ensure_future(self._producer.publish([self._record(row) for row in rows]))\n"
                "        await self._forget(epoch, [row['id'] for row in rows], {})\n"
                "        results = await sending\n",
            ),
        ),
        test=f"{_TEST}::test_what_kafka_did_not_take_stays_in_the_outbox_and_is_sent_in_its_order",
    ),
    Mutation(
        name="failed-sends-are-kept",
        safeguard="A batch with a record that failed is not forgotten.",
        removed="raising for it",
        without="The record that Kafka refused for a moment is lost.",
        edits=(Edit(_RELAY, "                raise result\n", "                continue\n"),),
        test=f"{_TEST}::test_what_kafka_did_not_take_stays_in_the_outbox_and_is_sent_in_its_order",
    ),
    Mutation(
        name="forget-by-id",
        safeguard="Exactly the rows that were sent are forgotten.",
        removed="the list of ids: everything up to the last one goes",
        without="A row that commits late under a lower id is deleted unsent.",
        edits=(
            Edit(
                _SQL, "WHERE id = ANY($4::bigint[]) AND", "WHERE id <= (SELECT max(i) FROM unnest($4::bigint[]) i) AND"
            ),
        ),
        test=f"{_TEST}::test_a_row_that_commits_while_a_later_one_is_on_its_way_is_sent_all_the_same",
    ),
    Mutation(
        name="read-back-at-start",
        safeguard="A relay that begins looks on the topics for what is published already.",
        removed="reading back",
        without="After a crash everything that was acknowledged but not yet forgotten is published twice.",
        edits=(Edit(_RELAY, "await self._read_back(epoch)\n", "pass\n"),),
        test=f"{_TEST}::test_a_crash_between_acknowledgement_and_delete_publishes_nothing_twice",
    ),
    Mutation(
        name="read-back-after-a-doubt",
        safeguard="After a failure whose outcome is unknown the relay looks before it sends again.",
        removed="reading back while there is trouble",
        without="Each lost answer of Kafka publishes a batch twice.",
        edits=(Edit(_RELAY, "await self._read_back(epoch)\n", "_ = self._trouble or await self._read_back(epoch)\n"),),
        test=f"{_TEST}::test_what_is_stored_though_kafka_did_not_say_so_is_not_sent_again",
    ),
    Mutation(
        name="lease-before-sending",
        safeguard="A relay without the lease is given no rows.",
        removed="the lease in the statement that fetches them",
        without="A relay that wakes up late sends what its successor sends.",
        edits=(
            Edit(
                _SQL,
                "WHERE EXISTS (\n    SELECT FROM position\n    WHERE",
                "WHERE EXISTS (\n    SELECT FROM position\n    WHERE $1::text IS NOT NULL AND $2::bigint > 0 OR",
            ),
        ),
        test=f"{_TEST}::test_a_relay_without_the_lease_is_given_nothing",
    ),
    Mutation(
        name="lease-before-forgetting",
        safeguard="A relay that lost its lease forgets nothing.",
        removed="the lease in the statement that deletes rows",
        without="A relay that wakes up late deletes rows its successor is working on.",
        edits=(Edit(_SQL, "ANY($4::bigint[]) AND EXISTS (SELECT FROM lease)", "ANY($4::bigint[])"),),
        test=f"{_TEST}::test_a_relay_that_loses_its_lease_while_it_sends_forgets_nothing",
    ),
    Mutation(
        name="lease-before-storing-offsets",
        safeguard="A relay that lost its lease stores no offsets.",
        removed="the lease in the statement that stores them",
        without="The next relay reads back from too far on, and sends again what lies before.",
        edits=(Edit(_SQL, "    WHERE EXISTS (SELECT FROM lease)\n    ON CONFLICT", "    WHERE true\n    ON CONFLICT"),),
        test=f"{_TEST}::test_a_relay_that_loses_its_lease_while_it_sends_forgets_nothing",
    ),
    Mutation(
        name="order-of-the-outbox",
        safeguard="Rows are sent in the order of their ids, which for one key is that of the commits.",
        removed="`ORDER BY id`",
        without="Readers see an older state of a lead after a newer one.",
        edits=(Edit(_SQL, "ORDER BY id LIMIT $3", "LIMIT $3"),),
        test=f"{_TEST}::test_rows_are_sent_in_the_order_of_their_ids_wherever_they_lie_in_the_table",
    ),
)

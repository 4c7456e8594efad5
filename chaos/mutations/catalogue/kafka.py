"""The producer: acknowledged by all, in order, nothing overtakes, nothing is sent for who gave up."""

from chaos.mutations.mutation import Edit, Mutation

_LANES = "funnel/kafka/lanes.py"
_PRODUCER = "funnel/kafka/producer.py"
_TEST = "tests/unit/kafka/test_producer.py"

MUTATIONS = (
    Mutation(
        name="acks-all",
        safeguard="A record is acknowledged when all in-sync replicas have it.",
        removed="`acks = all`: the leader's word is enough",
        without="The loss of one broker loses records that were called stored.",
        edits=(Edit("funnel/kafka/produce.py", "ALL_IN_SYNC: Final = -1", "ALL_IN_SYNC: Final = 1"),),
        test="tests/unit/kafka/test_produce_requests.py::test_all_in_sync_replicas_have_to_acknowledge",
    ),
    Mutation(
        name="nothing-overtakes",
        safeguard="After a failure everything that waits for the same partition fails too.",
        removed="failing what waits; it is sent",
        without="A later state of a lead is published, and the earlier one after it or never.",
        edits=(
            Edit(
                _LANES,
                "waiting = [*self.batch, *self.queue]\n        self.queue.clear()\n",
                "waiting = [*self.batch]\n",
            ),
            Edit(
                _PRODUCER,
                "            self._try_later(client, lane, answer)\n            return\n",
                "            self._try_later(client, lane, answer)\n",
            ),
        ),
        test=f"{_TEST}::test_after_a_failure_nothing_overtakes",
    ),
    Mutation(
        name="retried-first",
        safeguard="A batch that is tried again goes before what came after it.",
        removed="its place: it is put behind",
        without="A change of leaders reorders the records of a partition.",
        edits=(Edit(_LANES, "self.queue.extendleft(reversed(self.batch))", "self.queue.extend(self.batch)"),),
        test=f"{_TEST}::test_a_partition_that_moves_is_followed_and_keeps_its_order",
    ),
    Mutation(
        name="no-blind-retry",
        safeguard="A batch that may be stored is not sent again by itself.",
        removed="the difference: everything is tried again",
        without="Each connection that breaks publishes a batch twice.",
        edits=(
            Edit(
                _PRODUCER,
                'may_try = isinstance(trouble, _NOT_STORED) or (self._repeats and getattr(trouble, "retriable", True))',
                "may_try = True",
            ),
        ),
        test=f"{_TEST}::test_a_batch_of_which_nothing_is_known_is_not_sent_again_by_itself",
    ),
    Mutation(
        name="given-up-is-not-sent",
        safeguard="A record whose sender stopped waiting is not sent any more.",
        removed="leaving it out",
        without="A request that was answered with 503 or put into the spool shows up in the log much later.",
        edits=(Edit(_LANES, "if entry[2].given_up:", "if False:"),),
        test=f"{_TEST}::test_what_waits_behind_a_request_is_not_sent_for_who_gave_up",
    ),
    Mutation(
        name="bounded-memory",
        safeguard="What waits for Kafka in memory is bounded.",
        removed="the bound",
        without="An outage of Kafka ends the process by memory, with all that it had accepted.",
        edits=(Edit(_PRODUCER, "if self._held.bytes + size > PENDING_BYTES_MAX:", "if False:"),),
        test=f"{_TEST}::test_too_much_waiting_fails_at_once",
    ),
)

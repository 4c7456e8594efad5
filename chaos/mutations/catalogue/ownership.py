"""Who may move a position: epochs, positions, leases."""

from chaos.mutations.mutation import Edit, Mutation

_BATCH = "funnel/spine/sql/batch.sql"
_LEASES = "funnel/spine/sql/leases.sql"
_CONFLICTS = "tests/integration/spine/test_conflicts.py"
_REPLICAS = "tests/integration/spine/test_replicas.py"

MUTATIONS = (
    Mutation(
        name="position-epoch",
        safeguard="A batch moves the position only under the epoch it was claimed with.",
        removed="`p.epoch = b.epoch`",
        without="A replica that slept past its lease applies records beside its successor.",
        edits=(Edit(_BATCH, "AND p.epoch = b.epoch AND p.next = b.expected", "AND p.next = b.expected"),),
        test=f"{_REPLICAS}::test_an_owner_that_wakes_after_its_lease_is_fenced_by_the_epoch",
    ),
    Mutation(
        name="position-next",
        safeguard="A batch moves the position only from where it was read.",
        removed="`p.next = b.expected`",
        without="Two processes under one name both move it: records are counted twice, and it can go backwards.",
        edits=(Edit(_BATCH, "AND p.epoch = b.epoch AND p.next = b.expected", "AND p.epoch = b.epoch"),),
        test=f"{_CONFLICTS}::test_of_two_that_read_the_same_records_under_one_epoch_one_moves_the_position",
    ),
    Mutation(
        name="take-new-epoch",
        safeguard="Taking a lease begins a new epoch.",
        removed="`epoch = epoch + 1`",
        without="The owner before cannot be told from the new one, and is not fenced.",
        edits=(Edit(_LEASES, "SET owner = $1, epoch = epoch + 1,", "SET owner = $1, epoch = epoch,"),),
        test=f"{_REPLICAS}::test_a_lease_is_taken_by_whoever_was_faster",
    ),
    Mutation(
        name="take-seen-epoch",
        safeguard="A lease is taken only if nobody else took it since it was looked at.",
        removed="`AND epoch = $5`",
        without="Of two replicas that start together each takes from the other what it has just taken.",
        edits=(
            Edit(
                _LEASES,
                "WHERE topic = $3 AND partition = $4 AND epoch = $5",
                "WHERE topic = $3 AND partition = $4 AND $5::bigint >= 0",
            ),
        ),
        test=f"{_REPLICAS}::test_a_lease_is_taken_by_whoever_was_faster",
    ),
    Mutation(
        name="handed-over-at-the-end",
        safeguard="A replica that stops gives its leases back.",
        removed="the statement that releases them",
        without="After each deployment partitions stand still until the leases run out.",
        edits=(Edit("funnel/spine/leases.py", 'await tx.execute(QUERIES["release"], self._replica)', "pass"),),
        test=f"{_REPLICAS}::test_a_graceful_stop_hands_over_without_waiting_for_the_lease",
    ),
)

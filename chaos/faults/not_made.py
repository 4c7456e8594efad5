"""Faults of the matrix that no row makes, each with the reason."""

from chaos.faults import impossible

_NO_TRANSACTIONS = "the product uses no Kafka transactions: the outbox takes their place"
_LATER = "the product does not have it yet"

impossible(
    9,
    "group coordinator or transaction coordinator killed",
    "the product has no consumer groups and no Kafka transactions: it only reports offsets, which row 29 takes away",
)
impossible(15, "late EndTxn or Produce delivered in the next transaction (KIP-890)", _NO_TRANSACTIONS)
impossible(24, "webhooks: 500, hang, redirect, 410, 429, reset after processing", f"webhooks: {_LATER}")
impossible(32, "rolling upgrade with mixed versions", "there is one version of the product so far")
impossible(33, "a day's soak with random faults", "it takes a day: it belongs to a nightly run, not to this one")
impossible(34, "erasing a person during the flow, restoring a backup after it", f"erasing: {_LATER}")
impossible(
    35, "wrong SCRAM password, expired certificate, missing ACL", f"connections with passwords and TLS: {_LATER}"
)

# -- still to be written: what holds these faults until then runs without load, on real servers
_FAILOVER = "no row yet; tests/integration/failover does it on a real pair"
_SPINE = "no row yet; tests/integration/spine does it on real servers"
impossible(5, "a lease is lost during an open transaction", _SPINE)
impossible(17, "Postgres killed, the synchronous standby promoted", _FAILOVER)
impossible(18, "an asynchronous standby promoted that lacks the end", _FAILOVER)
impossible(
    19, "COMMIT sent, the connection cut before the answer", "no row yet; tests/simulator does it in virtual time"
)
impossible(20, "the old primary still takes writes", _FAILOVER)
impossible(21, "deadlock, serialization failure, statement timeout", _SPINE)
impossible(22, "rows of the outbox committed out of order", _SPINE)
impossible(23, "two relays at once", _SPINE)
impossible(27, "disk full under the spool and under Postgres", "no row yet")

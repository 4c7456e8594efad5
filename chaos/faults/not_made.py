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

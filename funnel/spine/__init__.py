"""The spine: what scoring, routing and metrics share, written once.

A poll becomes one Postgres transaction holding the positions, the inbox, the service's effects and the outbox; the
relay publishes the outbox; leases say which replica does what; epochs see to it that only one can.
"""

from funnel.envelope import Outgoing
from funnel.errors import Poison, UnknownVersion
from funnel.spine.model import Decision, Decoder, Handler, Message, Rejected

__all__ = [
    "Decision",
    "Decoder",
    "Handler",
    "Message",
    "Outgoing",
    "Poison",
    "Rejected",
    "UnknownVersion",
]

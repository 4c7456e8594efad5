"""The error tree. The message of a `FunnelError` is one sentence a person can act on."""

from __future__ import annotations


class FunnelError(Exception):
    """Root of every error this product raises on purpose."""


class Poison(FunnelError):
    """A record that can never be applied, however often it is tried: it is quarantined with this reason."""


class UnknownVersion(FunnelError):
    """A record of our own in a schema version this build does not know: wait for the upgrade, skip nothing."""


class UnsafeSettings(FunnelError):
    """A server or client setting under which the promise would not hold; the service refuses to start."""


class PartitionStopped(FunnelError):
    """A partition cannot go on without a person: the log lost records, was recreated, or our code has a bug."""


class DatabaseAway(FunnelError):
    """Postgres could not be reached, or the connection broke; the transaction's fate may be unknown."""


class TimelineChanged(FunnelError):
    """Postgres is on another timeline than when the process started: what it knows may not hold any more."""


class BadData(FunnelError):
    """Postgres or its driver refused a value (SQLSTATE class 22, 23 or 54, or an encoding error)."""


class Conflict(FunnelError):
    """Deadlock, serialisation failure or lock timeout: the same transaction may succeed when redone."""

"""Why the chaos matrix, or one row of it, cannot go on."""

from __future__ import annotations

from funnel.errors import FunnelError


class ChaosError(FunnelError):
    """The ground cannot be made; the message says what is missing or did not come up."""


class RowFailed(FunnelError):
    """A row did not get where it must: the product did not recover, or answered what it must not."""


class NotPossible(FunnelError):
    """A row cannot be made on this machine; the message is the reason that the report shows."""

"""What the metrics service takes from the settings, and its own fixed numbers."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from funnel.errors import UnsafeSettings
from funnel.settings import Settings

EXPORT_DUTY = "kpis"
"""The duty of exporting database totals; one replica has it at a time."""

AUDIT_DUTY = "audit"
"""The duty of auditing; one replica has it at a time."""

REFRESH_SECONDS = 1.0
"""How often the exported totals are read again."""

REFRESH_SHARE = 0.25
"""Most of the time that reading them may take: with millions of leads the refresh slows down, not the service."""

REFRESH_SECONDS_MAX = 10.0
"""However long reading takes, the totals are not much older than this."""


AUDIT_SECONDS = 5.0
"""How often the auditor looks."""

AUDIT_OLD_SECONDS = 1.0
"""How long of that it may look at what is old: a fifth of one connection, whatever there is to look at."""

AUDIT_NEWEST = 20_000
"""Records that are looked at again and again; older ones have their turn in the walk over everything."""

AUDIT_NEWEST_ROUNDS = 6
"""In how many rounds all of the newest are looked at again."""


def organisation_zone(settings: Settings) -> ZoneInfo:
    """The organisation's time zone, whose dates are the days of the tally. Raises UnsafeSettings when unknown."""
    try:
        return ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UnsafeSettings(f"FUNNEL_TIMEZONE {settings.timezone!r} is not a time zone of the IANA list.") from error

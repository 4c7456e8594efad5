"""DSNs that name several servers, as libpq has them: `postgresql://user@one:5432,two:5432/funnel`."""

from __future__ import annotations

from urllib.parse import urlsplit


def one_by_one(dsn: str) -> list[str]:
    """A DSN for each server that `dsn` names, in its order.

    Only one server at a time can then be asked, each with a time limit of its own: one that is frozen would otherwise
    use up the time of those after it.
    """
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [dsn]
    return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]


def to_primary(dsn: str) -> str:
    """`dsn` for clients built on libpq, which then go to the server that takes writes."""
    return f"{dsn}{'&' if urlsplit(dsn).query else '?'}target_session_attrs=read-write"

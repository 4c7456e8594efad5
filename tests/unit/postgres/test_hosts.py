"""DSNs that name several servers."""

from __future__ import annotations

import pytest

from funnel.postgres.hosts import one_by_one, to_primary


@pytest.mark.parametrize(
    ("dsn", "servers"),
    [
        (
            "postgresql://u:p%2Cw@h1:1,h2:2/db?x=1",
            ["postgresql://u:p%2Cw@h1:1/db?x=1", "postgresql://u:p%2Cw@h2:2/db?x=1"],
        ),
        ("postgresql://h1,h2/db", ["postgresql://h1/db", "postgresql://h2/db"]),
        ("postgresql://[::1]:5432,[::2]:5432/db", ["postgresql://[::1]:5432/db", "postgresql://[::2]:5432/db"]),
        ("postgresql://postgres@/db?host=/run/a,b", ["postgresql://postgres@/db?host=/run/a,b"]),
        ("postgresql:///db?host=/run", ["postgresql:///db?host=/run"]),
    ],
)
def test_each_server_has_a_dsn_of_its_own(dsn: str, servers: list[str]) -> None:
    assert one_by_one(dsn) == servers


def test_clients_built_on_libpq_are_sent_to_the_primary() -> None:
    assert to_primary("postgresql://a,b/db") == "postgresql://a,b/db?target_session_attrs=read-write"
    assert to_primary("postgresql:///db?host=/run") == "postgresql:///db?host=/run&target_session_attrs=read-write"

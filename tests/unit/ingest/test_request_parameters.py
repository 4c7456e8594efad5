"""`?source=` and `?mode=`."""

from __future__ import annotations

import pytest

from services.ingest.domain.receipt import RESERVED_SOURCES, BadParameters, read_parameters


@pytest.mark.parametrize(
    ("query", "read"),
    [
        (b"", ("default", "live")),
        (b"source=&mode=", ("default", "live")),
        (b"source=shop", ("shop", "live")),
        (b"mode=history&source=olist-leads", ("olist-leads", "history")),
        (b"source=a%3Ab", ("a:b", "live")),
        (b"utm_source=x&other", ("default", "live")),
        (b"source=" + b"a" * 64, ("a" * 64, "live")),
    ],
)
def test_what_they_say(query: bytes, read: tuple[str, str]) -> None:
    assert read_parameters(query) == read


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (b"source=a%20b", "source"),
        (b"source=-a", "source"),
        (b"source=%00", "source"),
        (b"source=caf%C3%A9", "source"),
        (b"source=" + b"a" * 65, "source"),
        (b"source=a&source=b", "source"),
        (b"mode=past", "mode"),
        (b"mode=LIVE", "mode"),
        (b"mode=live&mode=live", "mode"),
        (b"\xff", ""),
        (b"&".join([b"a=b"] * 51), ""),
    ],
)
def test_what_is_refused(query: bytes, named: str) -> None:
    with pytest.raises(BadParameters) as refused:
        read_parameters(query)
    assert [fault.pointer for fault in refused.value.faults] == [named]


@pytest.mark.parametrize("name", sorted(RESERVED_SOURCES))
def test_nobody_can_pose_as_one_of_our_services(name: str) -> None:
    with pytest.raises(BadParameters, match="reserved"):
        read_parameters(b"source=" + name.encode())

"""`?source=`, `?mode=` and `?key=`."""

from __future__ import annotations

import pytest

from services.ingest.domain.receipt import RESERVED_SOURCES, BadParameters, Mode, read_leniently, read_parameters


@pytest.mark.parametrize(
    ("query", "read"),
    [
        (b"", (None, "live", None)),
        (b"source=&mode=&key=", (None, "live", None)),
        (b"source=shop", ("shop", "live", None)),
        (b"mode=history&source=olist-leads", ("olist-leads", "history", None)),
        (b"source=a%3Ab", ("a:b", "live", None)),
        (b"utm_source=x&other&caf\xc3\xa9=1", (None, "live", None)),
        (b"key=fwk_abc&source=shop", ("shop", "live", "fwk_abc")),
        (b"source=" + b"a" * 64, ("a" * 64, "live", None)),
    ],
)
def test_what_they_say(query: bytes, read: tuple[str | None, Mode, str | None]) -> None:
    found = read_parameters(query)
    assert (found.source, found.mode, found.key) == read


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
        (b"key=a&key=b", "key"),
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


@pytest.mark.parametrize(
    ("query", "key"),
    [
        (b"source=Google%20Ads&key=fwk_abc", "fwk_abc"),
        (b"mode=never", None),
        (b"key=&key=fwk_abc", "fwk_abc"),
        (b"&".join([b"key=fwk_abc", *[b"a=b"] * 60]), "fwk_abc"),
    ],
)
def test_of_a_forms_address_what_can_be_read_is_read(query: bytes, key: str | None) -> None:
    found = read_leniently(query)
    assert (found.source, found.mode, found.key) == (None, "live", key)

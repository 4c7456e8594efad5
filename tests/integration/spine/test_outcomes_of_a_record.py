"""A record is applied, a duplicate, quarantined, or waited for: on the real broker and database."""

from __future__ import annotations

import json

import pytest

from funnel.errors import UnknownVersion
from tests.integration.spine.conftest import Desk, event, in_partition
from tests.support.eventually import eventually
from tests.support.kafka import Record
from tests.support.toy import Toy, read, running


async def test_each_event_has_its_effect_once_however_often_it_lies_in_the_log(desk: Desk) -> None:
    desk.send([event(n % 40, person=f"p{n % 7}") for n in range(40)] * 3)
    async with running(desk.settings, Toy()):
        await desk.until(applied=40, duplicates=80)
        assert sum((await desk.totals()).values()) == 40
        published = await desk.published()
    assert len({r.headers["ce_id"] for r in published}) == len(published) == 40


async def test_a_repeat_in_a_later_batch_has_no_effect(desk: Desk) -> None:
    desk.send([in_partition(event(n), n % 3) for n in range(9)])
    async with running(desk.settings, Toy()):
        await desk.until_passed(9)
        desk.send([in_partition(event(n), (n + 1) % 3) for n in range(12)])
        await desk.until_passed(21)
        assert len(await desk.published()) == 12
    expected = {"applied": 12, "duplicates": 9, "quarantined": 0, "holes": 0, "skipped": 0}
    assert (await desk.counters(), await desk.totals()) == (expected, {"ann": 12})


async def test_every_total_is_published_in_order_with_its_envelope(desk: Desk) -> None:
    desk.send([event(n, person="ann") for n in range(10)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=10)
        published = await desk.published()
    values = [json.loads(r.value or b"") for r in published]
    assert [v["version"] for v in values] == list(range(1, 11))
    assert {r.key for r in published} == {b"ann"}
    headers = published[0].headers
    assert (headers["ce_id"], headers["ce_source"], headers["ce_type"]) == (b"ann:1", b"toy", b"toy.total")
    assert headers["ce_dataschema"] == b"total.v1"


async def test_a_restart_goes_on_where_the_database_says(desk: Desk) -> None:
    desk.send([event(n) for n in range(20)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=20)
    desk.send([event(n) for n in range(20, 30)])
    async with running(desk.replica("two"), Toy()):
        await desk.until(applied=30)
    assert await desk.totals() == {"ann": 30}
    assert (await desk.counters())["duplicates"] == 0


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_a_foreign_producer_may_compress_as_it_likes(desk: Desk, codec: str) -> None:
    desk.send(
        [Record(json.dumps({"person": codec, "number": 2, "extra": [1]}).encode())], **{"compression.type": codec}
    )
    async with running(desk.settings, Toy()):
        await desk.until(applied=1)
    assert await desk.totals() == {codec: 2}


async def test_unknown_fields_are_no_reason_to_refuse(desk: Desk) -> None:
    desk.send([event(1, colour="blue", nested={"a": None})])
    async with running(desk.settings, Toy()):
        await desk.until(applied=1)


@pytest.mark.parametrize("value", [b"not json", b"\xff\xfe", b"[1, 2]", b'{"person": 7}', b"", None])
async def test_bytes_that_cannot_be_read_go_to_quarantine_whole(desk: Desk, value: bytes | None) -> None:
    bad = Record(value, key=b"k", headers={"ce_id": b"bad", "ce_source": b"test", "x": b"\x00\xff"})
    desk.send([in_partition(r, 0) for r in (event(1), bad, event(2))])
    async with running(desk.settings, Toy()):
        await desk.until(applied=2, quarantined=1)
    (row,) = await desk.query("SELECT topic, record_offset, source, event_id, reason, value FROM quarantine")
    assert (row["topic"], row["record_offset"], row["event_id"], row["value"]) == ("in", 1, "bad", value)
    assert row["reason"]


async def test_text_that_postgres_refuses_is_found_among_its_neighbours(desk: Desk) -> None:
    records = [event(n, person=f"p{n}") for n in range(50)]
    records[17] = event(17, person="p17", note="a\x00b")
    records[40] = event(40, person="nul\x00name")
    desk.send(records)
    async with running(desk.settings, Toy()):
        await desk.until(applied=48, quarantined=2)
    assert sum((await desk.totals()).values()) == 48
    reasons = {r["event_id"]: r["reason"] for r in await desk.query("SELECT event_id, reason FROM quarantine")}
    assert set(reasons) == {"e17", "e40"}
    assert "22021" in reasons["e17"]


async def test_an_id_that_postgres_cannot_hold_is_put_aside_readable(desk: Desk) -> None:
    odd = Record(event(1).value, headers={"ce_id": b"a\x00b", "ce_source": b"test"})
    desk.send([in_partition(r, 0) for r in (event(1), odd)])
    async with running(desk.settings, Toy()) as spine:
        await eventually(lambda: spine.problems() == {} and bool(spine.cursors()))
        await desk.until(applied=1, quarantined=1)
    (row,) = await desk.query("SELECT source, event_id, value FROM quarantine")
    assert tuple(row.values()) == ("test", "a\\u0000b", odd.value)


async def test_an_id_used_again_with_another_body_is_quarantined_not_dropped(desk: Desk) -> None:
    desk.send([in_partition(r, 0) for r in (event(1), event(1, amount=5), event(1))])
    async with running(desk.settings, Toy()):
        await desk.until(applied=1, duplicates=1, quarantined=1)
    desk.send([event(1, amount=9)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=1, duplicates=1, quarantined=2)
    assert await desk.totals() == {"ann": 1}
    reasons = await desk.query("SELECT reason FROM quarantine")
    assert all(r["reason"].startswith("event_id_reused") for r in reasons)


async def test_what_the_service_rejects_can_be_replayed_later(desk: Desk) -> None:
    desk.send([event(1), event(2, amount=-5)])
    async with running(desk.settings, Toy(rejects=lambda added: added.number < 0)):
        await desk.until(applied=1, quarantined=1)
    desk.send([event(2, amount=-5)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=2, quarantined=1)
    assert await desk.totals() == {"ann": -4}


async def test_a_bug_stops_its_partition_loudly_and_no_other(desk: Desk) -> None:
    def fail_on_bob(messages: object) -> None:
        assert all(m.value.person != "bob" for m in messages), "the bug"  # type: ignore[attr-defined]

    desk.send([in_partition(event(1, person="bob"), 0), in_partition(event(2, person="bob"), 0)])
    desk.send([in_partition(event(n, person="ann"), 1) for n in range(10, 20)])
    async with running(desk.settings, Toy(on_decide=fail_on_bob)) as spine:
        await desk.until(applied=10)
        problems = await eventually(lambda: {k: v for k, v in spine.problems().items() if k == "in/0"})
        assert "the bug" in problems["in/0"]
    assert (await desk.counters())["quarantined"] == 0
    async with running(desk.settings, Toy()):
        await desk.until(applied=12)


async def test_a_record_in_a_newer_schema_waits_for_the_upgrade(desk: Desk) -> None:
    def read_old(value: bytes, dataschema: str | None) -> object:
        if b"new" in value:
            raise UnknownVersion("added.v2 is newer than this build")
        return read(value, dataschema)

    desk.send([in_partition(r, 0) for r in (event(1), event(2, note="new"), event(3))])
    async with running(desk.settings, Toy(decoders={"in": read_old})) as spine:
        await desk.until(applied=1)
        await eventually(lambda: "added.v2" in spine.problems().get("in/0", ""))
    async with running(desk.settings, Toy()):
        await desk.until(applied=3)
    assert (await desk.counters())["quarantined"] == 0

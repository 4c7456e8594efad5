"""The name of a Kafka cluster, which goes to Kafka's own tools as an argument."""

from __future__ import annotations

import base64
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from funnel.embedded.kafka import cluster_id

DASH_FIRST = UUID(bytes=b"\xf8" + bytes(15))  # one in 64 begins like this


def test_it_never_looks_like_an_option() -> None:
    assert base64.urlsafe_b64encode(DASH_FIRST.bytes).startswith(b"-")
    assert cluster_id(DASH_FIRST).startswith("A")


@given(st.uuids())
def test_it_is_what_kafka_takes_for_one(random: UUID) -> None:
    found = cluster_id(random)
    assert len(found) == 22
    assert len(base64.urlsafe_b64decode(found + "==")) == 16
    assert found[0] != "-"

"""The bytes of produce requests and their answers are those of the client library."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from aiokafka.errors import NotLeaderForPartitionError, for_code
from aiokafka.protocol import produce as theirs
from hypothesis import given
from hypothesis import strategies as st

from funnel.kafka.produce import ALL_IN_SYNC, Place, Produce, Produced, answers_in

VERSIONS = {5: theirs.ProduceRequest_v5, 6: theirs.ProduceRequest_v6, 7: theirs.ProduceRequest_v7}
ANSWERS = {5: theirs.ProduceResponse_v5, 6: theirs.ProduceResponse_v6, 7: theirs.ProduceResponse_v7}

versions = st.sampled_from(sorted(VERSIONS))
topics = st.sampled_from(["lead-events", "a", "リード"])
places = st.builds(Place, topics, st.integers(0, 50))
batches = st.dictionaries(places, st.binary(max_size=30) | st.binary(max_size=30).map(bytearray), max_size=8)
offsets = st.integers(-1, 2**63 - 1)


@given(batches, versions, st.integers(0, 2**31 - 1))
def test_requests_are_written_alike(sent: Any, version: int, timeout_ms: int) -> None:
    ours = Produce(list(sent.items()), timeout_ms)
    same = theirs.ProduceRequest(None, ALL_IN_SYNC, timeout_ms, ours._topics)
    assert ours.build(VERSIONS[version]).encode() == same.build(VERSIONS[version]).encode()


@given(st.dictionaries(places, st.tuples(st.sampled_from([0, 6, 10, 87]), offsets, offsets, offsets)), versions)
def test_answers_are_read_alike(answered: Any, version: int) -> None:
    by_topic: dict[str, list[Any]] = {}
    for (topic, partition), rest in answered.items():
        by_topic.setdefault(topic, []).append((partition, *rest))
    response = ANSWERS[version](list(by_topic.items()), 7)
    encoded = response.encode()
    ours, their = Produced.decode(BytesIO(encoded)).answers, answers_in(ANSWERS[version].decode(BytesIO(encoded)))
    assert {place: comparable(answer) for place, answer in ours.items()} == {
        place: offset if code == 0 else for_code(code) for place, (code, offset, *_) in answered.items()
    }
    assert list(ours) == list(their)


def comparable(answer: Any) -> Any:
    return answer if isinstance(answer, int) else type(answer)


@pytest.mark.parametrize("version", [3, 4])
def test_an_older_broker_is_spoken_to_by_the_client_library(version: int) -> None:
    built = Produce([(Place("x", 0), b"batch")], 1000).build(getattr(theirs, f"ProduceRequest_v{version}"))
    assert built.RESPONSE_TYPE is getattr(theirs, f"ProduceResponse_v{version}")
    response = built.RESPONSE_TYPE([("x", [(0, 0, 5, -1), (1, 6, -1, -1)])], 0)
    answers = answers_in(response)
    assert answers[Place("x", 0)] == 5
    assert isinstance(answers[Place("x", 1)], NotLeaderForPartitionError)


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_all_in_sync_replicas_have_to_acknowledge(version: int) -> None:
    encoded = Produce([(Place("lead-events", 0), b"records")], 1000).build(VERSIONS[version]).encode()
    no_transaction, acks = struct.unpack_from(">hh", encoded)
    assert (no_transaction, acks) == (-1, -1)  # Kafka's number for all of them

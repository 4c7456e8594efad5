"""What the Kafka client does to whoever waits for it: its troubles pass, and its own giving up is nobody's end."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import RequestTimedOutError

from funnel.kafka.consumer import KafkaAway, asking


@pytest.mark.parametrize("trouble", [RequestTimedOutError(), TimeoutError(), ConnectionResetError()])
def test_a_trouble_that_may_pass_is_kafka_away(trouble: Exception) -> None:
    with (
        pytest.raises(KafkaAway, match=rf"^Kafka does not tell \({type(trouble).__name__}\)\.$"),
        asking("does not tell"),
    ):
        raise trouble


async def test_a_request_that_the_client_gave_up_is_kafka_away() -> None:
    answer = asyncio.get_running_loop().create_future()
    answer.cancel()
    with pytest.raises(KafkaAway), asking("does not tell"):
        await answer


async def test_who_is_cancelled_himself_stays_cancelled() -> None:
    async def ask() -> None:
        with asking("does not tell"):
            await asyncio.Event().wait()

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

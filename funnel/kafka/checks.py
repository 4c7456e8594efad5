"""What must be true of the Kafka client and the topics before a service may start."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from funnel.errors import UnsafeSettings
from funnel.kafka.admin import connect
from funnel.settings import Settings

REPLICAS_MIN = 3
IN_SYNC_MIN = 2
_IN_SYNC = "min.insync.replicas"


def assert_c_extension() -> None:
    """The client's compiled record parser is present; the pure Python one is several times slower.

    Raises UnsafeSettings.
    """
    for module in ("aiokafka.record._crecords", "cramjam"):
        if importlib.util.find_spec(module) is None:
            raise UnsafeSettings(f"The Python package part {module} is missing: install the lock file's wheels.")


async def assert_replicated(settings: Settings, topics: Sequence[str]) -> None:
    """Every topic exists and, unless waived, keeps 3 replicas of which 2 must have a record before it counts.

    Raises UnsafeSettings naming the topic and the setting, KafkaAway when the broker does not answer.
    """
    names = [settings.topic_prefix + topic for topic in topics]
    async with connect(settings.kafka_bootstrap) as admin:
        found = await admin.describe(names, [_IN_SYNC])
    for name in names:
        if name not in found:
            raise UnsafeSettings(f"Topic {name} does not exist: create the topics with `funnel migrate`.")
        topic = found[name]
        in_sync = int(topic.config.get(_IN_SYNC, "1"))
        if not settings.waive_replication and (topic.replication < REPLICAS_MIN or in_sync < IN_SYNC_MIN):
            raise UnsafeSettings(
                f"Topic {name} has {topic.replication} replicas and {_IN_SYNC} = {in_sync}: losing one broker could "
                f"lose leads; use {REPLICAS_MIN} and {IN_SYNC_MIN}, or set FUNNEL_WAIVE_REPLICATION=true."
            )

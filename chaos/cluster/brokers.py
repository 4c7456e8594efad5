"""A Kafka cluster of three brokers, each a broker and a controller (KRaft): to be killed, stopped, frozen, restarted.

Every topic has three copies, two of which must be in sync, and no unclean elections. Each broker listens twice: the
product's clients reach it through CLIENT, whose advertised address may be a proxy's, so that none of them gets around
it; the brokers themselves and whoever only observes use DIRECT.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.admin._resource import ResourceType

from chaos.cluster.ports import free_ports
from chaos.errors import ChaosError
from funnel.embedded.jars import ensure_jars
from funnel.embedded.kafka import KafkaServer, cluster_id, java_command
from funnel.embedded.process import Child, Program, run_tool

HOST: Final = "127.0.0.1"
SIZE: Final = 3
REPLICATION: Final = 3
MIN_IN_SYNC: Final = 2
SESSION_SECONDS: Final = 3.0
"""After this long without a heartbeat a broker is fenced, and its partitions get other leaders."""

_HEAP_MIB: Final = 320
_FRUGAL: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # half the CPU of a start, and there are many
_START_SECONDS: Final = 120.0
_HEALTH_SECONDS: Final = 240.0
_ANSWER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_QUIET: Final = {"log_level": 0, "socket.timeout.ms": 5000}  # brokers that are away are what this is about

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id={number}
listeners=CLIENT://127.0.0.1:{client},DIRECT://127.0.0.1:{direct},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{advertised},DIRECT://127.0.0.1:{direct}
listener.security.protocol.map=CLIENT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replication}
min.insync.replicas={min_in_sync}
unclean.leader.election.enable=false
offsets.topic.replication.factor={replication}
offsets.topic.num.partitions=6
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr={min_in_sync}
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor={replication}
share.coordinator.state.topic.min.isr={min_in_sync}
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
num.replica.fetchers=1
log.cleaner.enable=false
log.index.size.max.bytes=1048576
file.delete.delay.ms=1000
broker.session.timeout.ms={session_ms}
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
# A leader that is back leads again soon, so that one broker does not end up with all partitions.
leader.imbalance.check.interval.seconds=10
"""


class Broker:
    """One of the three. Its ports and its data stay the same over restarts."""

    def __init__(self, number: int, folder: Path, client: int, direct: int, controller: int) -> None:
        self.number = number
        self.folder = folder
        self.client, self.direct, self.controller = client, direct, controller
        self.advertised = client
        self._child: Child | None = None
        self._frozen = False

    @property
    def log(self) -> Path:
        """What the broker writes about itself."""
        return self.folder.with_suffix(".log")

    @property
    def running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self._child is not None and self._child.running()

    def launch(self, program: Program) -> None:
        """Start its process unless it lives (then thaw it); returns at once. Only from the main thread."""
        if self.running:
            self.thaw()
        else:
            self._child = Child.start(program, self.log, ends_with_us=True)

    def kill(self) -> None:
        """kill -9, also of a frozen one."""
        if self._child is not None and self.running:
            os.kill(self._child.identity.pid, signal.SIGKILL)
            self._child.await_end()

    def stop(self) -> None:
        """SIGTERM: it hands its partitions over and ends; returns when it has ended."""
        if self._child is not None and self.running:
            self.thaw()
            self._child.stop()

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._child is not None and self.running:
            self.thaw()
            self._child.ask_to_stop()

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        self._frozen = False

    @property
    def frozen(self) -> bool:
        return self._frozen

    def answers(self) -> bool:
        """Whether it serves clients."""
        return KafkaServer(self.folder, self.direct).answers()

    def why_ended(self) -> str:
        """Its last words; empty while it runs."""
        return "" if self._child is None or self.running else self._child.why_ended()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self.running:
            os.kill(self._child.identity.pid, number)


class Brokers:
    """The cluster. Its methods block (from an event loop: `asyncio.to_thread`), except that processes are launched
    from the thread that called `start`, which must live as long as they shall."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(SIZE * 3)
        self._brokers = {
            number: Broker(number, folder / f"broker-{number}", *ports[3 * (number - 1) : 3 * number])
            for number in range(1, SIZE + 1)
        }
        self._voters = ",".join(f"{b.number}@{HOST}:{b.controller}" for b in self._brokers.values())
        self._classpath = ""
        self._abandoned = threading.Event()
        self._kafka: AdminClient | None = None

    def __iter__(self) -> Iterator[Broker]:
        return iter(self._brokers.values())

    def __getitem__(self, number: int) -> Broker:
        return self._brokers[number]

    @property
    def direct(self) -> str:
        """Bootstrap servers for those who observe: around every proxy."""
        return ",".join(f"{HOST}:{broker.direct}" for broker in self._brokers.values())

    @property
    def bootstrap(self) -> str:
        """Bootstrap servers for the product."""
        return ",".join(f"{HOST}:{broker.advertised}" for broker in self._brokers.values())

    def advertise(self, ports: Sequence[int]) -> None:
        """Have clients come through these ports, one for each broker; before `start`."""
        for broker, port in zip(self._brokers.values(), ports, strict=True):
            broker.advertised = port

    def start(self, report: Callable[[str], None]) -> None:
        """Format and start all three; returns when they know each other. Raises ChaosError, StackError."""
        self._classpath = ":".join(map(str, ensure_jars(report)))
        cluster = cluster_id(uuid.uuid4())
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(lambda broker: self._format(broker, cluster), self._brokers.values()))
        for number in self._brokers:
            self.launch(number)
        self.await_health("")

    def launch(self, number: int) -> None:
        """Start one on its data, or thaw it; returns at once. Only from the thread that called `start`."""
        self._brokers[number].launch(self._program(self._brokers[number]))

    def launch_all(self) -> None:
        """Start or thaw whoever does not run; returns at once. Only from the thread that called `start`."""
        for number in self._brokers:
            self.launch(number)

    def await_health(self, prefix: str, seconds: float = _HEALTH_SECONDS) -> None:
        """Return when all three serve, and every partition of topics `prefix`* has all its copies in sync.

        Raises ChaosError.
        """
        give_up = time.monotonic() + seconds
        while trouble := self._trouble(prefix):
            if self._abandoned.is_set():
                raise ChaosError("Nobody waits for the brokers any more.")
            dead = [broker for broker in self._brokers.values() if not broker.running]
            if dead:
                raise ChaosError(f"Broker {dead[0].number} ended, {dead[0].why_ended()}")
            if time.monotonic() > give_up:
                raise ChaosError(f"The brokers are not well after {seconds:.0f} s: {trouble}.")
            time.sleep(_POLL_SECONDS)

    def abandon(self) -> None:
        """Whoever waits for their health in another thread need not any more: all of it is being stopped."""
        self._abandoned.set()

    def leaders(self, topic: str) -> dict[int, int]:
        """Which broker leads each partition of `topic`; -1 where none does. Raises KafkaException."""
        return {number: place.leader for number, place in self._topic(topic).partitions.items()}

    def in_sync(self, topic: str) -> dict[int, list[int]]:
        """The brokers whose copies are in sync, per partition of `topic`. Raises KafkaException."""
        return {number: sorted(place.isrs) for number, place in self._topic(topic).partitions.items()}

    def admin(self) -> AdminClient:
        """An independent client's administration of the cluster, around the proxies."""
        if self._kafka is None:
            self._kafka = AdminClient({**_QUIET, "bootstrap.servers": self.direct})
        return self._kafka

    def configure(self, topics: Iterable[str], **settings: str) -> None:
        """Change settings of topics; "." in a setting's name is "_" here. Raises KafkaException."""
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries) for topic in topics]
        for future in self.admin().incremental_alter_configs(resources).values():
            future.result(_HEALTH_SECONDS)

    def delete_topics(self, prefix: str) -> None:
        """Delete every topic whose name starts with `prefix`. Raises KafkaException."""
        names = [name for name in self._topics() if name.startswith(prefix)]
        if names:
            for future in self.admin().delete_topics(names).values():
                future.result(_HEALTH_SECONDS)

    def stop(self) -> None:
        """Stop all, together; nobody needs their data any more."""
        for broker in self._brokers.values():
            broker.kill()

    def _topics(self) -> dict[str, TopicMetadata]:
        known: dict[str, TopicMetadata] = self.admin().list_topics(timeout=_ANSWER_SECONDS).topics
        return known

    def _topic(self, name: str) -> TopicMetadata:
        topic = self._topics()[name]
        if topic.error is not None:
            raise KafkaException(topic.error)
        return topic

    def _trouble(self, prefix: str) -> str:
        if silent := [broker.number for broker in self._brokers.values() if not broker.answers()]:
            return f"brokers {silent} do not answer"
        try:
            known = self.admin().list_topics(timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            return str(error)
        if len(known.brokers) < SIZE:
            return f"only brokers {sorted(known.brokers)} are registered"
        behind = [
            f"{name}/{place.id}"
            for name, topic in known.topics.items()
            if name.startswith(prefix)
            for place in topic.partitions.values()
            if place.leader < 0 or len(place.isrs) < len(place.replicas)
        ]
        return f"{len(behind)} partitions lack copies, {behind[0]} among them" if behind else ""

    def _format(self, broker: Broker, cluster: str) -> None:
        broker.folder.mkdir(parents=True)
        self._properties(broker).write_text(self._render(broker), encoding="utf-8")
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties(broker)))
        jvm = list(_FRUGAL)
        program = Program("kafka's storage tool", (*java_command(self._classpath, jvm), *tool))
        run_tool(program, "formatting Kafka's storage", broker.folder)

    def _program(self, broker: Broker) -> Program:
        jvm = [*_FRUGAL, f"-Xms{_HEAP_MIB // 2}m", f"-Xmx{_HEAP_MIB}m", "-XX:+ExitOnOutOfMemoryError"]
        argv = (*java_command(self._classpath, jvm), "kafka.Kafka", str(self._properties(broker)))
        return Program(f"broker {broker.number}", argv, stop_grace_s=60.0)

    def _properties(self, broker: Broker) -> Path:
        return (broker.folder / "server.properties").resolve()

    def _render(self, broker: Broker) -> str:
        return _PROPERTIES.format(
            number=broker.number,
            client=broker.client,
            direct=broker.direct,
            controller=broker.controller,
            advertised=broker.advertised,
            voters=self._voters,
            data=(broker.folder / "data").resolve(),
            replication=REPLICATION,
            min_in_sync=MIN_IN_SYNC,
            session_ms=int(SESSION_SECONDS * 1000),
        )

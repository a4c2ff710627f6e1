"""Kafka on this machine: brokers that are their own controllers (KRaft), three of them or one."""

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from confluent_kafka.admin import AdminClient

from deploy.local.installing import installed, maven
from deploy.local.server import Server, free_port

VERSION: Final = "4.4.0"
SLF4J: Final = "1.7.36"
"""Without a back end of slf4j the brokers log nothing."""
HEAP: Final = "256m"
ASK_S: Final = 2.0

# The first start of a broker formats its folder; both are one command, so that three brokers come up at once.
_START: Final = """
[ -f "$1/meta.properties" ] || "$2" -Xmx128m -cp "$3" kafka.tools.StorageTool format -t "$4" -c "$5" || exit 1
shift 5
exec "$@"
"""


def jars() -> Path:
    """Give the folder of Kafka's jars, fetched if they are not there. Raises ServerError."""
    return installed(
        f"kafka-{VERSION}",
        lambda folder: maven(folder, [f"org.apache.kafka:kafka_2.13:{VERSION}", f"org.slf4j:slf4j-simple:{SLF4J}"]),
    )


class Broker(Server):
    """One broker, which is a controller too. Its ports stay over restarts."""

    def __init__(self, folder: Path, node: int) -> None:
        super().__init__(folder)
        self.name = f"kafka-{node}"
        self.node = node
        self.port = free_port()
        self.advertised_port = self.port
        """What clients are told to connect to: a test puts a proxy there."""
        self.controller_port = free_port()
        self.cluster_id = ""
        self.peers: Sequence[Broker] = (self,)
        """All brokers of the cluster, itself included."""

    @classmethod
    def install(cls) -> None:
        """Put Kafka's jars into the cache folder. Raises ServerError."""
        jars()

    @property
    def address(self) -> str:
        """Give `host:port` for clients."""
        return f"127.0.0.1:{self.advertised_port}"

    def command(self) -> Sequence[str]:
        """Write the configuration; give the command that formats the folder if it is new, and runs the broker."""
        properties, data = self.folder / "server.properties", self.folder / "data"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        classes = f"{jars()}/*"
        broker = [
            "java", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", classes, "kafka.Kafka", str(properties),
        ]  # fmt: skip
        return ["sh", "-c", _START, "sh", str(data), "java", classes, self.cluster_id, str(properties), *broker]

    def ready(self) -> bool:
        """Tell whether the broker answers clients and knows of itself."""
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        return self.node in client.list_topics(timeout=ASK_S).brokers

    def _settings(self) -> dict[str, str | int]:
        copies = min(3, len(self.peers))
        in_sync = max(1, copies - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": ",".join(
                f"{peer.node}@127.0.0.1:{peer.controller_port}" for peer in self.peers
            ),
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "unclean.leader.election.enable": "false",
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": 0,
            # A killed broker's partitions have another leader after about so long.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            # A broker that stopped in order must not wait for controllers that are gone.
            "controlled.shutdown.enable": "true" if len(self.peers) > 1 else "false",
            "num.network.threads": 2,
            "num.io.threads": 2,
            "log.retention.check.interval.ms": 1_000,
            "log.segment.delete.delay.ms": 1_000,
        }


class Kafka(Server):
    """A cluster of brokers with replication; single brokers are killed and frozen by `brokers[i]`."""

    nodes: ClassVar[int] = 3

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.brokers: Final = [Broker(folder / f"broker-{node}", node) for node in range(1, self.nodes + 1)]

    @classmethod
    def install(cls) -> None:
        """Put Kafka's jars into the cache folder. Raises ServerError."""
        jars()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Give `host:port` of each broker, as the setting `log.brokers` has it."""
        return tuple(broker.address for broker in self.brokers)

    @property
    def pid(self) -> int | None:
        """Give the first broker's process id while all run."""
        pids = [broker.pid for broker in self.brokers]
        return None if None in pids else pids[0]

    def launch(self) -> None:
        """Start the brokers that do not run, without waiting."""
        self.install()
        for broker in self.brokers:
            broker.peers, broker.cluster_id = self.brokers, self._cluster_id()
            if not broker.alive:
                broker.launch()

    def wait_ready(self) -> None:
        """Return when all brokers answer. Raises ServerError."""
        for broker in self.brokers:
            broker.wait_ready()

    def kill(self) -> None:
        """End all brokers at once."""
        for broker in self.brokers:
            broker.kill()

    def stop(self) -> None:
        """End all brokers; what they have is durable or replicated, so nothing is gained by asking nicely."""
        self.kill()

    def freeze(self) -> None:
        """Stop the execution of all brokers."""
        for broker in self.brokers:
            broker.freeze()

    def thaw(self) -> None:
        """Let all brokers go on."""
        for broker in self.brokers:
            broker.thaw()

    def command(self) -> Sequence[str]:
        """Give the first broker's command: the cluster has none of its own."""
        return self.brokers[0].command()

    def ready(self) -> bool:
        """Tell whether all brokers answer."""
        return all(broker.ready() for broker in self.brokers)

    def _cluster_id(self) -> str:
        """Give the cluster's id: two clusters of one id on neighbouring ports would talk to each other."""
        file = self.folder / "cluster.id"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            # Its first character is no "-", which the formatting tool would take for an option.
            file.write_text("A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22])
        return file.read_text()


class Kafka1(Kafka):
    """One broker without replication, for tests that need no more."""

    nodes = 1

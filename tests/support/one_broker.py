"""One Kafka broker for tests that need topics and no replication."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient
from deploy.local.installing import installed, maven, run
from deploy.local.server import Server, cache_folder, free_port

VERSION: Final = "4.4.0"
FOLDER: Final = f"kafka-one-{VERSION}"


class OneBroker(Server):
    """A broker that is its own controller; topics need replication factor 1."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port, self.controller_port = free_port(), free_port()

    @property
    def brokers(self) -> tuple[str, ...]:
        return (f"127.0.0.1:{self.port}",)

    @classmethod
    def install(cls) -> None:
        jars = [f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36"]
        installed(FOLDER, lambda folder: maven(folder, jars))

    def command(self) -> Sequence[str]:
        settings = self.folder / "server.properties"
        classpath = f"{cache_folder() / FOLDER}/*"
        if not settings.exists():
            settings.write_text(
                f"process.roles=broker,controller\nnode.id=1\n"
                f"controller.quorum.voters=1@127.0.0.1:{self.controller_port}\n"
                f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}\n"
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}\n"
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
                "controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n"
                f"log.dirs={self.folder / 'data'}\nauto.create.topics.enable=false\n"
                "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n"
                "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
                "share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n"
                "group.initial.rebalance.delay.ms=0\n"
            )
            tool = ["java", "-Xmx128m", "-cp", classpath, "kafka.tools.StorageTool"]
            cluster_id = subprocess.run([*tool, "random-uuid"], check=True, capture_output=True, text=True).stdout
            run([*tool, "format", "-t", cluster_id.split()[-1], "-c", str(settings)], self.folder)
        return ["java", "-Xmx384m", "-XX:+UseSerialGC", "-cp", classpath, "kafka.Kafka", str(settings)]

    def ready(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.brokers[0], "log_level": 0})
        return bool(client.list_topics(timeout=1).brokers)

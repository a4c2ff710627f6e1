"""A whole cluster on one machine: which servers and roles there are, and the configuration that joins them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy.local.clickhouse import ClickHouse
from deploy.local.clickhouse import cluster as clickhouse_shards
from deploy.local.flink import Flink
from deploy.local.haproxy import HAProxy
from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres
from deploy.local.role import Role, toml
from deploy.local.s3 import S3
from deploy.local.server import Server
from deploy.local.spark import Spark
from deploy.local.valkey import Valkey

TOPIC: Final = "adtally.clicks"
EDGE_SLOTS: Final = 3
"""HAProxy knows so many edges; the last ones need not run."""


class Plan(msgspec.Struct, frozen=True):
    """What a cluster consists of."""

    stream: Literal["flink", "python"] = "flink"
    recount: Literal["chdb", "spark"] = "chdb"
    shards: int = 1
    """ClickHouse servers."""
    partitions: int = 6
    edges: int = 2
    apis: int = 2


class Cluster:
    """Servers and roles below a folder. `start` brings all up; single parts are killed and started by the tests."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.folder = folder
        self.plan = plan or Plan()
        self.kafka = Kafka(folder / "kafka")
        self.clickhouse: list[ClickHouse] = clickhouse_shards(folder / "clickhouse", self.plan.shards)
        self.s3 = S3(folder / "s3")
        self.postgres = Postgres(folder / "postgres")
        self.valkey = Valkey(folder / "valkey")
        self.spark = Spark(folder / "spark") if self.plan.recount == "spark" else None
        self.flink = Flink(folder / "flink", self._flink_settings()) if self.plan.stream == "flink" else None
        self.config = folder / "adtally.toml"
        self.edges = [self._role("edge", index + 1) for index in range(EDGE_SLOTS)]
        self.apis = [self._role("serve", index + 1) for index in range(self.plan.apis)]
        self.stream = self._role("stream")
        self.loader = self._role("loader") if self.plan.stream == "flink" else None
        self.archiver = self._role("archiver")
        self.reconciler = self._role("reconciler")
        backends = {
            "edges": {edge.name: edge.address for edge in self.edges},
            "apis": {api.name: api.address for api in self.apis},
        }
        self.haproxy = HAProxy(folder / "haproxy", backends)

    @property
    def click_url(self) -> str:
        """Give where clicks go."""
        return f"http://127.0.0.1:{self.haproxy.click_port}"

    @property
    def api_url(self) -> str:
        """Give where API and page are."""
        return f"http://127.0.0.1:{self.haproxy.api_port}"

    @property
    def admin_key(self) -> Path:
        """Give the file with the admin's key."""
        return self.apis[0].data_folder / "admin.key"

    def servers(self) -> list[Server]:
        """Give the engines, in the order in which they are started."""
        every: list[Server | None] = [
            self.postgres, self.valkey, *self.clickhouse, self.s3, self.kafka, self.flink, self.spark,
        ]  # fmt: skip
        return [server for server in every if server is not None]

    def roles(self) -> list[Role]:
        """Give adtally's own processes, in the order in which they are started.

        API servers make the registry, which edges copy; edges make the topics, which all others read.
        """
        return [role for together in self._waves() for role in together]

    def start(self) -> Iterator[str]:
        """Start everything, giving the name of each part as it answers. Raises ServerError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for server in self.servers():
            server.launch()
        for server in self.servers():
            server.wait_ready()
            yield server.name
        self._configure()
        for together in self._waves():
            for role in together:
                role.launch()
            for role in together:
                role.wait_ready()
                yield role.name
        self.haproxy.start()
        yield self.haproxy.name

    def stop(self) -> None:
        """Stop everything, roles first."""
        for part in (self.haproxy, *reversed(self.roles()), *self.edges[self.plan.edges :]):
            part.stop()
        for server in reversed(self.servers()):
            server.stop()

    def parts(self) -> Sequence[Server]:
        """Give every single process that was started."""
        inner: list[Server] = []
        for server in self.servers():
            if isinstance(server, Kafka):
                inner += server.brokers
            elif isinstance(server, Flink):
                inner += server.parts
            else:
                inner.append(server)
        return [*inner, *self.roles(), self.haproxy]

    def settings(self) -> dict[str, dict[str, object]]:
        """Give the configuration that all roles share."""
        first = self.clickhouse[0]
        return {
            "registry": {"url": self.postgres.url},
            "ledger": {"url": self.postgres.url},
            "log": {"brokers": self.kafka.addresses, "topic": TOPIC, "partitions": self.plan.partitions},
            "edge": {"event_header": True, "trusted_proxies": ["127.0.0.0/8"]},
            "olap": {
                "urls": [each.url for each in self.clickhouse], "user": first.user, "password": first.password,
            },
            "lake": {
                "url": f"s3://{self.s3.bucket}/lake",
                "s3_endpoint": self.s3.endpoint,
                "s3_access_key": self.s3.access_key,
                "s3_secret_key": self.s3.secret_key,
            },
            "stream": self._stream_settings(),
            "reconcile": self._reconcile_settings(),
            "serve": {"cache_url": self.valkey.url, "click_url": self.click_url},
        }  # fmt: skip

    def _waves(self) -> list[list[Role]]:
        counting = [self.stream, self.loader, self.archiver, self.reconciler]
        return [self.apis, self.edges[: self.plan.edges], [role for role in counting if role is not None]]

    def _configure(self) -> None:
        self.config.touch(0o600)
        self.config.write_text(toml(self.settings()))

    def _role(self, role: str, index: int | None = None) -> Role:
        name = role if index is None else f"{role}-{index}"
        return Role(self.folder / name, role, self.config, index=index)

    def _flink_settings(self) -> dict[str, str]:
        return {
            "s3.endpoint": self.s3.endpoint,
            "s3.access-key": self.s3.access_key,
            "s3.secret-key": self.s3.secret_key,
            "s3.path.style.access": "true",
        }

    def _stream_settings(self) -> dict[str, object]:
        if self.flink is None:
            return {"engine": "python"}
        checkpoints = f"s3://{self.s3.bucket}/flink"
        return {"engine": "flink", "flink_url": self.flink.url, "flink_checkpoints": checkpoints}

    def _reconcile_settings(self) -> dict[str, object]:
        if self.spark is None:
            return {"engine": "chdb"}
        return {"engine": "spark", "spark_master": self.spark.master, "spark_jars": str(self.spark.jars)}

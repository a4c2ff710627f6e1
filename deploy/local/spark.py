"""Spark on one machine: a standalone master with one worker, from the package pyspark and Java 17, and S3A's jars."""

import importlib.util
import json
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local.installing import installed, maven
from deploy.local.server import Server, ServerError, free_port

HADOOP: Final = "3.5.0"
SDK: Final = "2.35.4"
CORES: Final = 2
WORKER_MB: Final = 1_024
"""Of the worker's executors together; one of Spark's default size fits."""


class Spark(Server):
    """Master and worker are one process group, and die together."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port, self._page, self._worker, self._worker_page = (free_port() for _ in range(4))

    @property
    def master(self) -> str:
        """Give what `reconcile.spark_master` takes."""
        return f"spark://127.0.0.1:{self._port}"

    @property
    def jars(self) -> Path:
        """Give what `reconcile.spark_jars` takes: the folder of S3A's jars."""
        return s3a_jars()

    @classmethod
    def install(cls) -> None:
        """See that Spark is there; `make setup-cluster` installs it. Raises ServerError."""
        _home()

    def command(self) -> Sequence[str]:
        """Give a shell that runs both."""
        deploy, here = "org.apache.spark.deploy", "--host 127.0.0.1"
        master = f"{deploy}.master.Master {here} --port {self._port} --webui-port {self._page}"
        worker = f"{deploy}.worker.Worker {here} --port {self._worker} --webui-port {self._worker_page}"
        room = f"--cores {CORES} --memory {WORKER_MB}m {self.master}"
        return ["sh", "-c", f'"$0" {master} & "$0" {worker} {room} & wait', str(_home() / "bin" / "spark-class")]

    def environment(self) -> Mapping[str, str]:
        """Keep everything on the loopback address, and in this server's folder."""
        return {
            "SPARK_HOME": str(_home()),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOG_DIR": str(self.folder),
            "SPARK_WORKER_DIR": str(self.folder / "work"),
            "SPARK_LOCAL_DIRS": str(self.folder / "spill"),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
        }

    def ready(self) -> bool:
        """Tell whether the master knows its worker."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._page}/json/", timeout=2) as answer:
            return bool(json.load(answer)["aliveworkers"])


def s3a_jars() -> Path:
    """Give the folder of the jars by which Spark reads S3, fetched if they are not there. Raises ServerError."""
    return installed(f"s3a-{HADOOP}-{SDK}", _fetch_jars)


def _fetch_jars(folder: Path) -> None:
    sdk = "software.amazon.awssdk"
    # The bundle of Amazon's whole SDK is 600 MB; of it S3A needs this.
    parts = ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client", "url-connection-client")
    maven(
        folder,
        [f"org.apache.hadoop:hadoop-aws:{HADOOP}", *(f"{sdk}:{part}:{SDK}" for part in parts)],
        without=["software.amazon.awssdk:bundle", "org.wildfly.openssl:wildfly-openssl", "io.netty:*"],
    )


def _home() -> Path:
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise ServerError("pyspark is not installed: run make setup-cluster")
    return Path(found.origin).parent

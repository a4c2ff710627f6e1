"""Flink as a session cluster: a job manager, task managers, and the SQL gateway that jobs are submitted to."""

import json
import shutil
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.local.installing import installed, maven, run
from deploy.local.server import Server, cache_folder, free_port

VERSION: Final = "2.2.1"
CONNECTOR_VERSION: Final = "5.0.0-2.2"
S3_VERSION: Final = "2.2.0"
"""There is no 2.2.1 of the S3 file system."""

SLOTS: Final = 2
JOB_MANAGER_MB: Final = 320
GATEWAY_MB: Final = 320
TASK_HEAP_MB: Final = 1_024
"""Of remembered clicks, half a million take 450 MB in the heap: with less, Java collects more than it counts."""
MANAGED_MB: Final = 192
"""What RocksDB takes, where a job asks for it."""

JAVA_MODULES: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time",
        "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
    )
)  # fmt: skip
"""What Flink looks into on Java 17."""

LOGGING: Final = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} %x - %m%n
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
"""


def _fill(folder: Path) -> None:
    wheel, jars = folder / "wheel", folder / "maven"
    jars.mkdir()
    run([sys.executable, "-m", "venv", str(wheel)], folder)
    pip = [str(wheel / "bin" / "pip"), "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    run([*pip, f"apache-flink-libraries=={VERSION}"], folder)
    maven(
        jars,
        [
            f"org.apache.flink:flink-sql-connector-kafka:{CONNECTOR_VERSION}",
            f"org.apache.flink:flink-sql-gateway:{VERSION}",
            f"org.apache.flink:flink-s3-fs-hadoop:{S3_VERSION}",
        ],
    )
    (found,) = wheel.glob("lib/python*/site-packages/pyflink/lib")
    found.rename(folder / "lib")
    s3 = folder / "plugins" / "s3"
    s3.mkdir(parents=True)
    # What these depend on is in Flink's own lib, in other versions.
    (jars / f"flink-s3-fs-hadoop-{S3_VERSION}.jar").rename(s3 / "flink-s3-fs-hadoop.jar")
    for kept in (f"flink-sql-connector-kafka-{CONNECTOR_VERSION}.jar", f"flink-sql-gateway-{VERSION}.jar"):
        (jars / kept).rename(folder / "lib" / kept)
    shutil.rmtree(jars)
    shutil.rmtree(wheel)


class FlinkProcess(Server):
    """One of Flink's processes; all read one configuration, and each has its own memory."""

    MAIN: str
    HEAP_MB: int

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.settings = dict(settings)

    @classmethod
    def install(cls) -> None:
        """Put Flink, its Kafka connector, SQL gateway and S3 file system into the cache folder."""
        installed(_cached(), _fill)

    def command(self) -> Sequence[str]:
        """Give the command, and write the configuration that it reads."""
        settings = {"io.tmp.dirs": str(self.folder / "tmp"), **self.settings}
        (self.folder / "tmp").mkdir(exist_ok=True)
        (self.folder / "config.yaml").write_text(
            "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
        )
        (self.folder / "log4j.properties").write_text(LOGGING)
        return [
            "java", f"-Xmx{self.HEAP_MB}m", "-XX:+UseSerialGC", "-XX:MaxMetaspaceSize=256m", *JAVA_MODULES,
            f"-Dlog4j.configurationFile={self.folder / 'log4j.properties'}",
            "-cp", f"{cache_folder() / _cached()}/lib/*",
            self.MAIN, *self.arguments(),
        ]  # fmt: skip

    def arguments(self) -> Sequence[str]:
        """Give what follows the main class."""
        return ["--configDir", str(self.folder)]

    def environment(self) -> Mapping[str, str]:
        """Tell where the configuration and the plugins are."""
        return {
            "FLINK_CONF_DIR": str(self.folder),
            "FLINK_PLUGINS_DIR": str(cache_folder() / _cached() / "plugins"),
            "FLINK_LIB_DIR": str(cache_folder() / _cached() / "lib"),
        }


class FlinkJobManager(FlinkProcess):
    """Plans, restarts and checkpoints jobs. It forgets them when it ends: whoever submitted one watches it."""

    MAIN = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    HEAP_MB = JOB_MANAGER_MB

    def ready(self) -> bool:
        """Tell whether the REST address answers."""
        return "slots-total" in _get(f"http://127.0.0.1:{self.settings['rest.port']}/overview")


class FlinkTaskManager(FlinkProcess):
    """Runs the parts of jobs, in as many slots as it has."""

    MAIN = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"

    def __init__(self, folder: Path, settings: Mapping[str, str], heap_mb: int, managed_mb: int) -> None:
        self.HEAP_MB = heap_mb + 128
        super().__init__(
            folder,
            {
                **settings,
                "taskmanager.resource-id": folder.name,
                "taskmanager.cpu.cores": "1",
                "taskmanager.memory.task.heap.size": f"{heap_mb}m",
                "taskmanager.memory.task.off-heap.size": "64m",
                "taskmanager.memory.framework.heap.size": "128m",
                "taskmanager.memory.framework.off-heap.size": "64m",
                "taskmanager.memory.managed.size": f"{managed_mb}m",
                "taskmanager.memory.network.min": "64m",
                "taskmanager.memory.network.max": "64m",
                "taskmanager.memory.jvm-metaspace.size": "256m",
                "taskmanager.memory.jvm-overhead.min": "64m",
                "taskmanager.memory.jvm-overhead.max": "64m",
            },
        )

    def ready(self) -> bool:
        """Tell whether the job manager knows it."""
        managers = _get(f"http://127.0.0.1:{self.settings['rest.port']}/taskmanagers")["taskmanagers"]
        return any(manager["id"] == self.folder.name for manager in managers)


class FlinkGateway(FlinkProcess):
    """Takes SQL over HTTP, plans it and submits it to the job manager."""

    MAIN = "org.apache.flink.table.gateway.SqlGateway"
    HEAP_MB = GATEWAY_MB

    def arguments(self) -> Sequence[str]:
        """Give nothing: the gateway reads the folder from its environment."""
        return []

    def ready(self) -> bool:
        """Tell whether the gateway answers."""
        return "productName" in _get(f"http://127.0.0.1:{self.settings['sql-gateway.endpoint.rest.port']}/v1/info")


class Flink(Server):
    """A session cluster of one job manager, one task manager and one SQL gateway; `settings` are added to Flink's own.

    Of a task manager, `heap_mb` is what jobs have of Java's heap, and `managed_mb` what RocksDB takes.
    `add_task_manager` gives one more, with as many slots. An S3 store is told by `s3.endpoint`, `s3.access-key`,
    `s3.secret-key` and `s3.path.style.access`.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        heap_mb: int = TASK_HEAP_MB,
        managed_mb: int = MANAGED_MB,
    ) -> None:
        super().__init__(folder)
        self._heap_mb, self._managed_mb = heap_mb, managed_mb
        self.rest_port = free_port()
        self.gateway_port = free_port()
        self._settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": str(free_port()),
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": f"{JOB_MANAGER_MB + 512}m",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": str(SLOTS),
            "parallelism.default": str(SLOTS),
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": str(self.rest_port),
            "sql-gateway.endpoint.rest.address": "127.0.0.1",
            "sql-gateway.endpoint.rest.bind-address": "127.0.0.1",
            "sql-gateway.endpoint.rest.port": str(self.gateway_port),
            "heartbeat.interval": "2000",
            "heartbeat.timeout": "8000",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": "1000000",
            "restart-strategy.fixed-delay.delay": "1 s",
            # A job's own setting of this counts for nothing. A noted one must be kept though newer ones were made.
            "execution.checkpointing.num-retained": "12",
            "web.refresh-interval": "1000",
            **(settings or {}),
        }
        self.job_manager = FlinkJobManager(folder / "jobmanager", self._settings)
        self.gateway = FlinkGateway(folder / "gateway", self._settings)
        self.task_managers: list[FlinkTaskManager] = []
        self.add_task_manager()

    @property
    def url(self) -> str:
        """Give the SQL gateway's address: what the setting `stream.flink_url` wants."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def parts(self) -> list[FlinkProcess]:
        """Give all processes."""
        return [self.job_manager, *self.task_managers, self.gateway]

    @property
    def alive(self) -> bool:
        """Tell whether all run."""
        return all(part.alive for part in self.parts)

    def add_task_manager(self) -> FlinkTaskManager:
        """Give one more task manager, which is to be started."""
        name = f"taskmanager{len(self.task_managers) + 1}"
        self.task_managers.append(FlinkTaskManager(self.folder / name, self._settings, self._heap_mb, self._managed_mb))
        return self.task_managers[-1]

    @classmethod
    def install(cls) -> None:
        """Put Flink's files into the cache folder."""
        FlinkProcess.install()

    def launch(self) -> None:
        """Start what does not run."""
        for part in self.parts:
            if not part.alive:
                part.launch()

    def wait_ready(self) -> None:
        """Return when all answer. Raises ServerError."""
        for part in self.parts:
            part.wait_ready()

    def kill(self) -> None:
        """End all at once."""
        for part in self.parts:
            part.kill()

    def stop(self) -> None:
        """End all, each as an operator does."""
        for part in reversed(self.parts):
            part.stop()

    def freeze(self) -> None:
        """Stop the execution of all."""
        for part in self.parts:
            part.freeze()

    def thaw(self) -> None:
        """Let all go on."""
        for part in self.parts:
            part.thaw()

    def command(self) -> Sequence[str]:
        """Give the job manager's, the process that the others follow."""
        return self.job_manager.command()

    def ready(self) -> bool:
        """Tell whether all answer."""
        return all(part.ready() for part in self.parts)


def _cached() -> str:
    return f"flink-{VERSION}"


def _get(url: str) -> Any:  # noqa: ANN401 - JSON
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)

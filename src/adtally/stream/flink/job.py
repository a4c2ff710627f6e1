"""What is submitted to Flink: the statements of `job.sql`, filled in, and the settings they run with."""

import re
from importlib.resources import files
from string import Template
from typing import Final, Literal

import msgspec

from adtally.counting import AHEAD_MS, MINUTE_MS
from adtally.errors import ConfigError

TOTALS_TTL_MS: Final = 2 * 60 * MINUTE_MS
CHECKPOINT_AGE_MS_MAX: Final = 3 * MINUTE_MS
"""An older one is not restored: clicks that must still be remembered may be missing in it."""


class JobSettings(msgspec.Struct, frozen=True):
    """Everything that the job's text and its settings depend on."""

    brokers: tuple[str, ...]
    topic: str
    dedup_window_ms: int
    lateness_ms: int
    flush_ms: int = 1_000
    checkpoints: str = ""
    """Folder of checkpoints (`file:///...`, `s3://bucket/...`); empty for the one in Flink's configuration."""
    checkpoint_ms: int = 10_000
    state: Literal["hashmap", "rocksdb"] = "hashmap"
    parallelism: int = 0
    """0 for what Flink's configuration says."""

    @property
    def live_topic(self) -> str:
        """Give the topic that the job writes."""
        return f"{self.topic}.live"

    @property
    def group(self) -> str:
        """Give the consumer group under which the job commits what its checkpoints hold."""
        return f"{self.topic}.flink"


class Start(msgspec.Struct, frozen=True):
    """Where a job begins: at a checkpoint, else at a time of append, else (0) with the first click that is kept.

    Only minutes from `floor_ms` on are counted: those whose look-back is read whole.
    """

    checkpoint: str = ""
    appended_ms: int = 0
    floor_ms: int = 0


def replay_start(passed_ms: int, settings: JobSettings) -> Start:
    """Give where to begin without a checkpoint, if everything appended before `passed_ms` was counted once.

    Minutes that were still open then are counted anew, wherefore reading begins one window before them.
    """
    oldest_open_ms = (passed_ms - settings.lateness_ms - MINUTE_MS) // MINUTE_MS * MINUTE_MS
    # The look-back lies in times of clicks, which may be ahead of their appends.
    appended_ms = oldest_open_ms - settings.dedup_window_ms - AHEAD_MS
    return Start(appended_ms=max(appended_ms, 1), floor_ms=max(oldest_open_ms, 0))


def statements(settings: JobSettings, start: Start) -> list[str]:
    """Give the job's statements; the last one is its INSERT. Raises ConfigError for a name that cannot be one."""
    mode = "'scan.startup.mode' = 'earliest-offset'"
    if start.appended_ms:
        mode = f"'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '{start.appended_ms:d}'"
    text = Template(files(__package__).joinpath("job.sql").read_text(encoding="utf-8")).substitute(
        clicks=_checked("log.topic", settings.topic, r"[\w.-]+"),
        live=_checked("log.topic", settings.live_topic, r"[\w.-]+"),
        job_group=_checked("log.topic", settings.group, r"[\w.-]+"),
        brokers=",".join(_checked("log.brokers", broker, r"[\w.\[\]:-]+") for broker in settings.brokers),
        start=mode,
        lateness_ms=f"{settings.lateness_ms:d}",
        ahead_ms=f"{AHEAD_MS:d}",
        dedup_window_ms=f"{settings.dedup_window_ms:d}",
        floor_ms=f"{start.floor_ms:d}",
        pane_s=f"{max(1, settings.flush_ms // 1_000):d}",
        totals_ttl=f"{TOTALS_TTL_MS:d} ms",
    )
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


def properties(settings: JobSettings, start: Start) -> dict[str, str]:
    """Give the settings of Flink that the job needs."""
    # Processing time runs on while the log stands still, never slower than it: so this is the least.
    remembered_ms = settings.dedup_window_ms + settings.lateness_ms + CHECKPOINT_AGE_MS_MAX
    needed = {
        "pipeline.name": settings.topic,
        "table.local-time-zone": "UTC",
        "table.exec.state.ttl": f"{remembered_ms} ms",
        "table.exec.mini-batch.enabled": "false",
        "table.exec.sink.upsert-materialize": "NONE",
        "state.backend.type": settings.state,
        "execution.checkpointing.interval": f"{settings.checkpoint_ms} ms",
        "execution.checkpointing.min-pause": "500 ms",
        "execution.checkpointing.timeout": "5 min",
        # Without it a job on the heap reads its checkpoint back by single numbers, each a call to the store's client.
        "execution.checkpointing.snapshot-compression": "true",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    }
    if settings.state == "rocksdb":
        needed["execution.checkpointing.incremental"] = "true"
        # Most clicks are new: without filters each of them is looked for in every file, and found in none.
        needed["state.backend.rocksdb.use-bloom-filter"] = "true"
    if settings.checkpoints:
        needed["execution.checkpointing.dir"] = settings.checkpoints
    if settings.parallelism:
        needed["parallelism.default"] = str(settings.parallelism)
    if start.checkpoint:
        needed["execution.state-recovery.path"] = start.checkpoint
    return needed


def _checked(setting: str, value: str, pattern: str) -> str:
    if re.fullmatch(pattern, value, re.ASCII) is None:
        raise ConfigError(f"{setting}: {value!r} cannot stand in a statement of Flink SQL")
    return value

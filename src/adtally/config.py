"""One TOML file, one frozen struct per role, every value with its origin.

Later sources win: defaults, the file, `ADTALLY_SECTION__KEY` variables, command line flags. Unknown keys are errors.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NewType, get_type_hints

import msgspec
from msgspec import Meta

from adtally.counting import DEDUP_WINDOW_MS, LATENESS_MS
from adtally.errors import ConfigError

ENV_PREFIX: Final = "ADTALLY_"

Port = Annotated[int, Meta(ge=0, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]


Secret = NewType("Secret", str)
"""A value that is never shown: not by `adtally config`, not in a log."""


class RegistryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ads, advertisers and keys."""

    url: Secret = Secret("")
    """`postgresql+psycopg://user:password@host/database`; empty for a SQLite file in the data folder."""


class EdgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP edge. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """0 means one for each two processors."""
    connections_max: Positive = 20_000
    """Of one worker; more wait in the kernel until there is room."""
    overload: Literal["redirect", "refuse"] = "redirect"
    """Where the log takes less than comes: `redirect` sends people on at once with `X-Click-Recorded: false`, `refuse`
    takes no new connection, so that a balancer can ask another edge."""
    append_timeout_ms: Positive = 1_000
    """How long a click waits for the log before its 302 leaves with `X-Click-Recorded: false`."""
    pending_events_max: Positive = 50_000
    """Events that wait for the log; above this, or above what the log takes in 0.6 of `append_timeout_ms`, clicks leave
    at once with `X-Click-Recorded: false`."""
    batch_events_max: Positive = 4_096
    head_timeout_s: Positive = 5
    idle_timeout_s: Positive = 75
    heartbeat_ms: Positive = 250
    event_header: bool = False
    """Send `X-Click-Event: edge_id.seq.ts_ms` with each 302, for `adtally load` and tests."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose `X-Forwarded-For` is believed."""
    metrics_public: bool = False
    """Answer `/-/metrics` to other hosts too."""
    ad_cache_entries: Positive = 200_000
    counted_agents: tuple[str, ...] = ("curl/",)
    """Starts of user agents that are no bots whatever the kept list says, so that a click tried by hand shows."""
    secure_cookie: bool = False
    """Mark the `adt_uid` cookie Secure: right wherever the edge is reached by https."""


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event log."""

    brokers: tuple[str, ...] = ()
    """Kafka's bootstrap servers, as host:port; empty for segments of SQLite in the data folder."""
    topic: str = "adtally.clicks"
    """Holds the clicks; its heartbeats and imports go to topics of their own, whose names begin with this one."""
    partitions: Positive = 12
    """Of a topic that is made; a topic that is there keeps its own number."""
    replicas: Positive = 3
    """Of a topic that is made; one fewer must be in sync for an append to be durable."""
    spool_after_ms: Positive = 400
    """How long a click waits for the brokers before it is kept in the spool; less than `edge.append_timeout_ms`."""
    spool_bytes_max: Positive = 8 * 1024**3
    """Of the edge's own disk, for clicks of one worker that the brokers do not take now."""
    segment_bytes: Positive = 64 * 1024 * 1024
    """A segment is closed when it has grown to this."""
    retention_days: Positive = 7


class StreamConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The live count."""

    engine: Literal["python", "flink"] = "python"
    flink_url: str = ""
    """Flink's SQL gateway."""
    flink_checkpoints: str = ""
    """`file:///folder` that all task managers see, or `s3://bucket/prefix`; empty for Flink's own setting."""
    flink_checkpoint_ms: Positive = 10_000
    flink_state: Literal["hashmap", "rocksdb"] = "hashmap"
    """Where Flink remembers clicks: in memory, or on its disks where they are too many."""
    flink_parallelism: Annotated[int, Meta(ge=0)] = 0
    """0 for Flink's own setting."""
    flink_restart: Literal["checkpoint", "replay"] = "checkpoint"
    """Where a job that Flink gave up begins: at its checkpoint, or by reading again what open minutes need."""
    partitions: tuple[int, ...] = ()
    """Of the log, that this process counts; empty for all. Each partition has one process that counts it."""
    flush_ms: Positive = 1_000
    poll_ms: Positive = 20
    commit_ms: Positive = 5_000
    read_bytes_max: Positive = 8 * 1024 * 1024
    dedup_window_ms: Annotated[int, Meta(ge=60_000)] = DEDUP_WINDOW_MS
    lateness_ms: Annotated[int, Meta(ge=0)] = LATENESS_MS


class ServeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The API and the page."""

    host: str = "127.0.0.1"
    port: Port = 8081
    reader_threads: Annotated[int, Meta(ge=1, le=64)] = 2
    requests_per_minute: Positive = 1_200
    """Of one key; above it 429."""
    cache_bytes_max: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024
    """Answers that are kept to be given again, in this process; 0 keeps none."""
    cache_url: Secret = Secret("")
    """`redis://host:port/0` of a Valkey or Redis that several API servers share; empty for a cache in the process."""
    click_url: str = ""
    """Where people's clicks go, for the page's example; empty for the edges of this host."""
    secure_cookie: bool = False
    """Mark the `adt_session` cookie Secure: right wherever the page is reached by https."""
    metrics_public: bool = False
    """Answer `/-/metrics` to other hosts too."""


class LakeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lake and its archiver."""

    url: str = ""
    """`s3://bucket/prefix`; empty for a folder in the data folder."""
    s3_endpoint: str = ""
    """Of a store that is not Amazon's: `http://host:port`."""
    s3_region: str = "us-east-1"
    s3_access_key: str = ""
    s3_secret_key: Secret = Secret("")
    partitions: tuple[int, ...] = ()
    """Of the log, that this archiver takes; empty for all. Whoever takes 0 takes control records and imports too."""
    flush_ms: Positive = 60_000
    flush_bytes: Positive = 64 * 1024 * 1024
    """Of events as they stand in the log; so much is written at once even if `flush_ms` has not passed."""
    retention_days: Annotated[int, Meta(ge=0)] = 0
    """Raw events older than this are removed; 0 keeps all, for what is removed cannot be counted again."""


class ReconcileConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recount of finished hours."""

    engine: Literal["chdb", "spark"] = "chdb"
    spark_master: str = "local[2]"
    """`spark://host:port` of a standalone master."""
    spark_jars: str = ""
    """A folder of jars that Spark lacks: S3A's, for a lake on S3."""
    every_ms: Positive = 120_000
    settle_ms: Annotated[int, Meta(ge=0)] = 600_000
    """An hour is complete when the archiver has passed the log's end as read so long after the hour's end."""
    settle_ms_max: Annotated[int, Meta(ge=0)] = 86_400_000
    """An edge that vanished without a closing record holds hours back for so long."""
    memory_bytes_max: Annotated[int, Meta(ge=256 * 1024**2)] = 2 * 1024**3
    """Of a recount's child process."""
    live_days: Positive = 3
    """Live minutes are kept for so long after they are final."""
    minute_days: Positive = 35
    quarter_hour_days: Positive = 396


class OlapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The OLAP store."""

    urls: tuple[str, ...] = ()
    """ClickHouse servers as `http://host:port`, one for each shard; empty for chDB in the data folder."""
    database: str = "adtally"
    user: str = "default"
    password: Secret = Secret("")
    memory_bytes_max: Positive = 4 * 1024**3


class LedgerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was reconciled, how far archiver and stream have come, and dead letters."""

    url: Secret = Secret("")
    """`postgresql+psycopg://user:password@host/database`; empty for SQLite files in the data folder."""


class TelemetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics of roles that answer no HTTP: stream, loader, archiver, reconciler."""

    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0
    """0 for none: then an API server on the same data folder shows them."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration, a struct per role."""

    registry: RegistryConfig = RegistryConfig()
    edge: EdgeConfig = EdgeConfig()
    log: LogConfig = LogConfig()
    stream: StreamConfig = StreamConfig()
    lake: LakeConfig = LakeConfig()
    reconcile: ReconcileConfig = ReconcileConfig()
    serve: ServeConfig = ServeConfig()
    olap: OlapConfig = OlapConfig()
    ledger: LedgerConfig = LedgerConfig()
    telemetry: TelemetryConfig = TelemetryConfig()


class LoadedConfig(msgspec.Struct, frozen=True):
    """A configuration and, for each `section.key`, where its value came from."""

    config: Config
    origins: Mapping[str, str]


def load(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> LoadedConfig:
    """Give the configuration from `file`, the environment and `flags` (by `section.key`, None meaning not given).

    Raises ConfigError that names the value and its origin.
    """
    return overlay(read_toml(file), str(file), dict(os.environ), flags or {})  # noqa: TID251 - this is the one place


def overlay(
    document: Mapping[str, Any], document_name: str, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> LoadedConfig:
    """Lay the sources over each other, later ones winning. Raises ConfigError."""
    tree: dict[str, dict[str, Any]] = {section: {} for section in Config.__struct_fields__}
    origins = {f"{section}.{key}": "default" for section in tree for key in _section(section).__struct_fields__}
    for dotted, value, origin in _assignments(document, document_name, environment, flags):
        if dotted not in origins:
            known = ", ".join(sorted(origins))
            raise ConfigError(f"{origin}: unknown setting {dotted!r}. Known settings: {known}")
        section, key = dotted.split(".")
        tree[section][key] = value
        origins[dotted] = origin
        # Checked one by one, so that the message can name the origin.
        try:
            msgspec.convert({key: value}, _section(section), strict=not origin.startswith(ENV_PREFIX))
        except msgspec.ValidationError as error:
            shown = "(a secret)" if is_secret(dotted) else repr(value)
            raise ConfigError(f"{origin}: {dotted} = {shown} is not valid: {error}") from None
    config = msgspec.convert(tree, Config, strict=False)
    _check_together(config)
    return LoadedConfig(config, origins)


def _check_together(config: Config) -> None:
    """Raise ConfigError for settings that contradict each other."""
    spool_ms, timeout_ms = config.log.spool_after_ms, config.edge.append_timeout_ms
    if config.log.brokers and spool_ms >= timeout_ms:
        raise ConfigError(
            f"log.spool_after_ms = {spool_ms} is not less than edge.append_timeout_ms = {timeout_ms}: clicks would "
            "leave unrecorded before the spool could keep them"
        )
    if config.lake.partitions and not config.log.brokers:
        raise ConfigError("lake.partitions needs log.brokers: what is in the data folder has one archiver")


def is_secret(dotted: str) -> bool:
    """Tell whether a setting's value must not be shown."""
    section, key = dotted.split(".")
    return get_type_hints(_section(section))[key] is Secret


def environment_value(name: str) -> str | None:
    """Give `ADTALLY_<NAME>` from the environment, None where unset or empty."""
    return os.environ.get(ENV_PREFIX + name) or None  # noqa: TID251 - this is the one place


def set_for_children(name: str, value: str) -> None:
    """Set an environment variable that a library reads at its import (prometheus_client's multi-process folder)."""
    os.environ[name] = value  # noqa: TID251 - this is the one place


def _section(name: str) -> type[msgspec.Struct]:
    return type(getattr(Config(), name))


def read_toml(file: Path | None) -> Mapping[str, Any]:
    """Give a configuration file's content, nothing for None. Raises ConfigError if it is missing or no TOML."""
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _assignments(
    document: Mapping[str, Any], document_name: str, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> list[tuple[str, Any, str]]:
    found: list[tuple[str, Any, str]] = []
    for section, values in document.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{document_name}: {section!r} stands outside a [section]")
        found += [(f"{section}.{key}", value, document_name) for key, value in values.items()]
    for name, text in sorted(environment.items()):
        if name.startswith(ENV_PREFIX) and "__" in name:
            dotted = name.removeprefix(ENV_PREFIX).lower().replace("__", ".", 1)
            found.append((dotted, _environment_typed(dotted, text), name))
    for dotted, value in flags.items():
        if value is not None:
            found.append((dotted, value, f"flag --{dotted.replace('.', '-')}"))
    return found


def _environment_typed(dotted: str, text: str) -> Any:  # noqa: ANN401 - typed by the struct that it is checked against
    section, _, key = dotted.partition(".")
    default = getattr(getattr(Config(), section, None), key, None)
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text

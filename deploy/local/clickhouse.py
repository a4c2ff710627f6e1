"""A ClickHouse server, from Debian's packages, unpacked without root."""

import hashlib
import platform
import secrets
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from deploy.local.installing import debian, installed
from deploy.local.server import Server, cache_folder, free_port

VERSION: Final = "18.16.1"
CLUSTER: Final = "adtally"
_LIBRARIES: Final = (
    "libboost-filesystem1.74.0", "libboost-program-options1.74.0", "libcapnp-0.9.2", "libcctz2", "libcpuinfo0",
    "libdouble-conversion3", "libfarmhash0", "libicu72", "libjemalloc2", "libltdl7", "libmariadb3", "libmetrohash1",
    "libodbc2", "libpcre3", "libpococrypto80", "libpocodata80", "libpocodataodbc80", "libpocofoundation80",
    "libpocojson80", "libpocomongodb80", "libpoconet80", "libpoconetssl80", "libpocoutil80", "libpocoxml80",
    "librdkafka1", "libre2-9", "libsasl2-2",
)  # fmt: skip
_PACKAGES: Final = (f"clickhouse-server={VERSION}*", f"clickhouse-common={VERSION}*", *_LIBRARIES)
_NAME: Final = f"clickhouse-{VERSION}"

_CONFIG: Final = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <http_port>{http_port}</http_port><tcp_port>{tcp_port}</tcp_port>
  <interserver_http_port>{interserver_port}</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <listen_host>127.0.0.1</listen_host>
  <max_connections>256</max_connections><max_concurrent_queries>64</max_concurrent_queries>
  <keep_alive_timeout>3</keep_alive_timeout>
  <mark_cache_size>134217728</mark_cache_size><uncompressed_cache_size>0</uncompressed_cache_size>
  <path>{folder}/data/</path><tmp_path>{folder}/data/tmp/</tmp_path>
  <user_files_path>{folder}/data/user_files/</user_files_path>
  <format_schema_path>{folder}/data/format_schemas/</format_schema_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <timezone>UTC</timezone><mlock_executable>false</mlock_executable>
  <builtin_dictionaries_reload_interval>3600</builtin_dictionaries_reload_interval>
  <remote_servers>{clusters}</remote_servers>
</yandex>
"""

_SHARD: Final = (
    "<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>{tcp_port}</port>"
    "<user>{user}</user><password>{password}</password></replica></shard>"
)

_USERS: Final = """<?xml version="1.0"?>
<yandex>
  <profiles><default><max_threads>2</max_threads><log_queries>0</log_queries></default></profiles>
  <users>
    <{user}>
      <password_sha256_hex>{digest}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </{user}>
  </users>
  <quotas><default/></quotas>
</yandex>
"""


class Shard(msgspec.Struct, frozen=True):
    """How servers of a cluster reach one of them: by its native protocol's port."""

    tcp_port: int
    user: str
    password: str


class ClickHouse(Server):
    """One server, with one user, whose password nobody chose. No logs of queries are kept.

    Servers that are each other's shards are told so by `shards`, before they start; alone, it is its only shard.
    """

    user: Final = "adtally"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._http_port = free_port()
        self._tcp_port = free_port()
        self._interserver_port = free_port()
        self.password = secrets.token_hex(16)
        self.shards: Sequence[Shard] = ()

    @classmethod
    def install(cls) -> None:
        """Unpack the packages into the cache folder. They are those of Debian 12, which are told by their libraries."""
        installed(_NAME, _unpack)

    @property
    def url(self) -> str:
        """Give the address of its HTTP interface."""
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def shard(self) -> Shard:
        """Give what others need to ask this one."""
        return Shard(self._tcp_port, self.user, self.password)

    def command(self) -> Sequence[str]:
        """Give the command; writes the configuration."""
        for name in ("tmp", "user_files", "format_schemas"):
            (self.folder / "data" / name).mkdir(parents=True, exist_ok=True)
        shards = "".join(_SHARD.format(**msgspec.structs.asdict(shard)) for shard in self.shards or [self.shard])
        config = _CONFIG.format(
            http_port=self._http_port,
            tcp_port=self._tcp_port,
            interserver_port=self._interserver_port,
            folder=escape(str(self.folder)),
            clusters=f"<{CLUSTER}>{shards}</{CLUSTER}>",
        )
        (self.folder / "config.xml").write_text(config)
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        (self.folder / "users.xml").write_text(_USERS.format(user=self.user, digest=digest))
        for name in ("config.xml", "users.xml"):
            (self.folder / name).chmod(0o600)
        return [str(_root() / "usr/sbin/clickhouse-server"), f"--config-file={self.folder / 'config.xml'}"]

    def environment(self) -> Mapping[str, str]:
        """Give where its libraries are."""
        libraries = f"{platform.machine()}-linux-gnu"
        return {"LD_LIBRARY_PATH": f"{_root()}/usr/lib/{libraries}:{_root()}/lib/{libraries}"}

    def ready(self) -> bool:
        """Tell whether it answers over HTTP."""
        with urllib.request.urlopen(f"{self.url}/ping", timeout=1) as answer:
            return bool(answer.status == 200)


def cluster(folder: Path, count: int) -> list[ClickHouse]:
    """Give servers that are each other's shards, not started yet. They have one password."""
    servers = [ClickHouse(folder / str(number)) for number in range(count)]
    for server in servers:
        server.password = servers[0].password
    for server in servers:
        server.shards = [each.shard for each in servers]
    return servers


def _root() -> Path:
    return cache_folder() / _NAME / "root"


def _unpack(folder: Path) -> None:
    root = folder / "root"
    root.mkdir()
    debian(root, _PACKAGES)

"""Where each value of the configuration comes from, and what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adtally.cli.target import config_file_of
from adtally.config import Config, LoadedConfig, is_secret, load, overlay
from adtally.errors import ConfigError
from adtally.folder import DataFolder


def laid(
    document: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    return overlay(document or {}, "a.toml", environment or {}, flags or {})


def test_without_sources_everything_is_a_default() -> None:
    loaded = laid()
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}
    assert "edge.port" in loaded.origins


def test_a_flag_wins_over_the_environment_and_that_over_the_file() -> None:
    document = {"edge": {"port": 1, "workers": 1, "host": "10.0.0.1"}}
    environment = {"ADTALLY_EDGE__PORT": "2", "ADTALLY_EDGE__WORKERS": "2"}
    loaded = laid(document, environment, {"edge.port": 3, "edge.workers": None})
    edge = loaded.config.edge
    assert (edge.port, edge.workers, edge.host) == (3, 2, "10.0.0.1")
    origins = [loaded.origins[f"edge.{key}"] for key in ("port", "workers", "host", "idle_timeout_s")]
    assert origins == ["flag --edge-port", "ADTALLY_EDGE__WORKERS", "a.toml", "default"]


def test_environment_values_take_the_type_of_their_setting() -> None:
    environment = {"ADTALLY_EDGE__EVENT_HEADER": "true", "ADTALLY_EDGE__TRUSTED_PROXIES": "10.0.0.0/8, 192.168.0.0/16"}
    edge = laid(environment=environment).config.edge
    assert edge.event_header is True
    assert edge.trusted_proxies == ("10.0.0.0/8", "192.168.0.0/16")


def test_variables_of_other_programs_and_of_commands_are_left_alone() -> None:
    assert laid(environment={"PATH": "/bin", "ADTALLY_URL": "http://x", "EDGE__PORT": "1"}).config == Config()


@pytest.mark.parametrize(
    ("document", "environment", "message"),
    [
        ({"edge": {"prot": 1}}, {}, "a.toml: unknown setting 'edge.prot'"),
        ({"egde": {"port": 1}}, {}, "a.toml: unknown setting 'egde.port'"),
        ({"port": 1}, {}, "a.toml: 'port' stands outside"),
        ({"edge": {"port": "80"}}, {}, "a.toml: edge.port = '80' is not valid"),
        ({"edge": {"port": 65_536}}, {}, "a.toml: edge.port = 65536 is not valid"),
        ({"log": {"retention_days": 0}}, {}, "a.toml: log.retention_days = 0 is not valid"),
        ({"edge": {"event_header": 1}}, {}, "a.toml: edge.event_header = 1 is not valid"),
        ({}, {"ADTALLY_EDGE__PORT": "http"}, "ADTALLY_EDGE__PORT: edge.port = 'http' is not valid"),
        ({}, {"ADTALLY_EDGE__PROT": "1"}, "ADTALLY_EDGE__PROT: unknown setting"),
        ({}, {"ADTALLY_STREAM__DEDUP_WINDOW_MS": "1"}, "ADTALLY_STREAM__DEDUP_WINDOW_MS: .* is not valid"),
    ],
)
def test_a_wrong_value_is_refused_with_its_origin(
    document: Mapping[str, Any], environment: Mapping[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        laid(document, environment)


def test_a_wrong_flag_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"flag --edge-port: edge\.port = -1 is not valid"):
        laid(flags={"edge.port": -1})


def test_a_file_is_read_and_named_as_the_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADTALLY_SERVE__PORT", raising=False)
    file = tmp_path / "adtally.toml"
    file.write_text("[serve]\nport = 9000\n", encoding="utf-8")
    loaded = load(file)
    assert loaded.config.serve.port == 9000
    assert loaded.origins["serve.port"] == str(file)


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADTALLY_SERVE__PORT", "9001")
    assert load().config.serve.port == 9001


@pytest.mark.parametrize("content", [b"[edge\n", b"port = \n", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.toml: not valid TOML"):
        load(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load(tmp_path / "a.toml")


def test_the_folders_own_file_is_used_unless_another_is_named(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert config_file_of(folder, None) is None
    folder.config.touch()
    assert config_file_of(folder, None) == tmp_path / "config.toml"
    assert config_file_of(folder, Path("other.toml")) == Path("other.toml")


def test_a_secret_is_not_shown_where_its_value_is_wrong() -> None:
    with pytest.raises(ConfigError) as caught:
        overlay({"registry": {"url": 5}}, "file", {}, {})
    assert "registry.url = (a secret)" in str(caught.value)
    assert is_secret("lake.s3_secret_key")
    assert not is_secret("edge.port")


def test_a_spool_that_comes_too_late_is_refused_where_there_is_one() -> None:
    late = {"spool_after_ms": 1_000}
    with pytest.raises(ConfigError, match="is not less than"):
        laid({"log": {**late, "brokers": ["a:1"]}})
    assert laid({"log": late}).config.log.spool_after_ms == 1_000


def test_archivers_share_a_log_only_where_it_can_be_shared() -> None:
    with pytest.raises(ConfigError, match=r"lake\.partitions needs log\.brokers"):
        laid({"lake": {"partitions": [0]}})
    assert laid({"lake": {"partitions": [0]}, "log": {"brokers": ["a:1"]}}).config.lake.partitions == (0,)

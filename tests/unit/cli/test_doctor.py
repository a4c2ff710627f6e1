"""`adtally doctor`: each check on a state that it must tell."""

import errno
import os
import socket
from pathlib import Path

import pytest

from adtally.cli.doctor import (
    CLOCK_EARLIEST_MS,
    FREE_BYTES_WARN,
    check_clock,
    check_config,
    check_disk,
    check_folder,
    check_free_space,
    check_libraries,
    check_port,
    check_python,
    check_running,
    check_server,
)
from adtally.cli.servers import servers_of
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, LakeConfig, LogConfig, OlapConfig, RegistryConfig, Secret, ServeConfig
from adtally.folder import DataFolder, RunInfo
from support.serving import Served

from .conftest import Run


class SetClock:
    """Shows a set time; each look at it takes `step_s`."""

    def __init__(self, now_ms: int, step_s: float = 0.0) -> None:
        self.at_ms = now_ms
        self.step_s = step_s
        self.at_s = 0.0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        self.at_s += self.step_s
        return self.at_s


def running(click_url: str, api_url: str, restarts: dict[str, int] | None = None) -> RunInfo:
    return RunInfo(1, click_url, api_url, "0", 0, {}, restarts or {})


def test_a_new_folder_is_fine_and_stays_untouched(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "free.toml"
    file.write_text("[edge]\nport = 0\n[serve]\nport = 0\n", encoding="utf-8")
    ran = run("doctor", "--data-dir", tmp_path / "new", "--config", file, "--json")
    assert (ran.code, ran.json["ok"]) == (0, True)
    checks = [finding["check"] for finding in ran.json["findings"]]
    assert checks == [
        "python", "libraries", "configuration", "data folder", "free space", "disk", "clock", "click port", "API port",
        "system",
    ]  # fmt: skip
    assert not (tmp_path / "new").exists()


def test_a_failure_is_answered_with_1_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    ran = run("doctor", "--data-dir", tmp_path)
    assert ran.code == 1
    assert f"{tmp_path} is no adtally data folder" in ran.out
    assert "-> choose another folder with --data-dir" in ran.out


def test_an_old_python_fails() -> None:
    assert check_python((3, 10)).state == "fail"
    assert check_python((3, 11)).state == "ok"


@pytest.mark.parametrize(
    ("requirement", "state"),
    [
        ("click>=8.2", "ok"),
        ("click>=8", "ok"),
        ("click>=999", "fail"),
        ("pyarrow!=25.0.0,>=23", "ok"),
        ("no-such-library>=1", "fail"),
        ("no-such-library>=1; extra == 'dev'", "ok"),
        ("tzdata>=2020.1 ; sys_platform == 'linux'", "ok"),
    ],
)
def test_libraries_are_held_against_what_is_required(requirement: str, state: str) -> None:
    assert check_libraries([requirement]).state == state


def test_a_wrong_configuration_fails_and_the_checks_go_on_with_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[edge]\nport = 'x'\n", encoding="utf-8")
    config, finding = check_config(DataFolder(tmp_path), file)
    assert (finding.state, config.edge.port) == ("fail", 8080)
    assert f"{file}: edge.port = 'x' is not valid" in finding.found


def test_a_folder_of_another_version_fails(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    assert check_folder(folder).state == "ok"
    folder.version.write_text("99\n", encoding="ascii")
    assert check_folder(folder).state == "fail"


def test_little_space_warns_and_none_fails(tmp_path: Path) -> None:
    assert check_free_space(tmp_path, FREE_BYTES_WARN).state == "ok"
    assert check_free_space(tmp_path, FREE_BYTES_WARN - 1).state == "warn"
    assert check_free_space(tmp_path, 1).state == "fail"


def test_a_slow_fsync_warns_and_a_place_that_cannot_be_written_fails(tmp_path: Path) -> None:
    quick = check_disk(tmp_path, SetClock(0, 0.001))
    assert (quick.state, quick.found) == ("ok", "writable, an fsync takes 1.00 ms")
    assert check_disk(tmp_path, SetClock(0, 0.03)).state == "warn"
    assert check_disk(tmp_path / "missing", SetClock(0)).state == "fail"


def test_a_clock_of_another_year_fails_and_one_apart_from_the_disk_warns(tmp_path: Path) -> None:
    now_ms = SYSTEM_CLOCK.now_ms()
    assert check_clock(tmp_path, SYSTEM_CLOCK).state == "ok"
    assert check_clock(tmp_path, SetClock(now_ms - 60_000)).state == "warn"
    assert check_clock(tmp_path, SetClock(CLOCK_EARLIEST_MS - 1)).state == "fail"


def test_a_port_is_free_or_the_running_systems_or_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert check_port("click port", "127.0.0.1", port, None).state == "fail"
        own = running(f"http://127.0.0.1:{port}", "http://127.0.0.1:1")
        assert check_port("click port", "127.0.0.1", port, own).state == "ok"
    assert check_port("click port", "127.0.0.1", port, None).state == "ok"
    assert check_port("click port", "127.0.0.1", 0, None).found == "any free one"
    assert check_port("click port", "no.such.host.invalid", 80, None).state == "fail"


def test_a_running_system_must_answer_on_both_addresses(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        ready = running(served.url, served.url, {"edge-0": 0})
        assert [finding.state for finding in check_running(ready)] == ["ok", "ok"]
        restarted = running(served.url, served.url, {"edge-0": 2})
        assert [finding.state for finding in check_running(restarted)] == ["ok", "ok", "warn"]
        served.reasons.append("the stream is behind")
        assert [finding.state for finding in check_running(ready)] == ["fail", "fail"]
    assert [finding.state for finding in check_running(ready)] == ["fail", "fail"]
    assert [finding.found for finding in check_running(None)] == ["none runs on this folder"]


def test_a_server_that_takes_no_connections_fails_by_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert check_server("olap.urls", "127.0.0.1", port).state == "ok"
    refused = check_server("olap.urls", "127.0.0.1", port)
    assert (refused.check, refused.state, refused.found) == (
        "olap.urls",
        "fail",
        f"127.0.0.1:{port}: Connection refused",
    )


def test_every_server_of_a_configuration_is_named_without_its_secrets() -> None:
    config = Config(
        registry=RegistryConfig(Secret("postgresql+psycopg://me:hush@db/x")),
        log=LogConfig(brokers=("kafka-1:9092", "kafka-2:19092")),
        olap=OlapConfig(urls=("http://clickhouse:8123",)),
        serve=ServeConfig(cache_url=Secret("redis://:hush@cache:6380/0")),
        lake=LakeConfig(s3_endpoint="https://s3.example.org"),
    )
    assert sorted(servers_of(config)) == [
        ("lake.s3_endpoint", "s3.example.org", 443),
        ("log.brokers", "kafka-1", 9092),
        ("log.brokers", "kafka-2", 19092),
        ("olap.urls", "clickhouse", 8123),
        ("registry.url", "db", 5432),
        ("serve.cache_url", "cache", 6380),
    ]
    assert not list(servers_of(Config()))


def test_a_full_disk_is_told_from_one_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert check_disk(tmp_path, SetClock(0)).advice == "make room"
    assert check_disk(tmp_path / "missing", SetClock(0)).advice.startswith("mend its owner")

"""What operators are given fits together and fits the program; `make check-deploy` adds what needs other programs."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from adtally.cli.main import COMMANDS, cli
from adtally.config import Config, is_secret, load
from adtally.eventlog.kafka import topics

DEPLOY = Path(__file__).parents[2] / "deploy"
ROLES = {"edge", "stream", "loader", "archiver", "reconciler", "serve"}
EXAMPLE = DEPLOY / "adtally.toml"
SECRETS = DEPLOY / "secrets.env.example"
TEXTS = sorted(
    path
    for path in DEPLOY.rglob("*")
    if path.suffix in {".yaml", ".toml", ".service", ".example", ".md", ".properties"}
)
COMPOSE: Mapping[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: it for name, it in COMPOSE["services"].items() if it.get("command", [""])[0] in ROLES}


def manifests() -> Iterator[Any]:
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def workloads() -> dict[str, Any]:
    return {it["metadata"]["name"]: it for it in manifests() if it["kind"] in {"Deployment", "StatefulSet"}}


def variables(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_role_is_a_command() -> None:
    assert set(COMMANDS) >= ROLES


def test_the_example_configuration_is_right() -> None:
    result = CliRunner().invoke(cli, ["config", "check", str(EXAMPLE)])
    assert result.exit_code == 0, result.output


def test_the_example_configuration_holds_no_secret_and_the_example_of_secrets_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [name for name, origin in load(EXAMPLE).origins.items() if origin == str(EXAMPLE)]
    assert not [name for name in given if is_secret(name)]
    for name, value in variables(SECRETS).items():
        monkeypatch.setenv(name, value)
    from_environment = {name for name, origin in load(EXAMPLE).origins.items() if origin.startswith("ADTALLY_")}
    secret = {
        f"{section}.{key}"
        for section in Config.__struct_fields__
        for key in type(getattr(Config(), section)).__struct_fields__
        if is_secret(f"{section}.{key}")
    }
    assert from_environment == secret | {"lake.s3_access_key"}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_that_is_named_is_a_setting(path: Path) -> None:
    known = {
        f"ADTALLY_{section}__{key}".upper()
        for section in Config.__struct_fields__
        for key in type(getattr(Config(), section)).__struct_fields__
    } | {"ADTALLY_SECTION__KEY"}
    assert set(re.findall(r"ADTALLY_[A-Z0-9]+__[A-Z0-9_]+", path.read_text())) <= known


def test_topics_that_are_made_by_hand_are_those_that_roles_make() -> None:
    config = load(EXAMPLE).config.log
    settings = topics.TopicSettings(config.partitions, config.replicas, config.retention_days)
    made = topics._new_topic(config.topic, config.partitions, settings).config
    assert variables(DEPLOY / "kafka" / "topics.properties") == made


def test_compose_runs_each_role_with_all_secrets_and_the_example_configuration() -> None:
    assert {it["command"][0] for it in OURS.values()} == ROLES - {"loader"}
    for name, service in OURS.items():
        assert service["command"][1:] == ["--data-dir", "/var/lib/adtally", "--config", "/etc/adtally/adtally.toml"]
        assert set(variables(SECRETS)) <= set(service["environment"]), name
        assert service["read_only"], name
    assert sum(it["command"][0] == "reconciler" for it in OURS.values()) == 1


def test_compose_keeps_no_secret_and_asks_for_each() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    assert asked | {"CLICK_ADDRESS", "API_ADDRESS"} == set(variables(DEPLOY / "compose.env.example"))
    assert not re.findall(r"(?<!\$)\$\{(\w*(?:PASSWORD|SECRET|CLUSTER_ID)\w*)\b(?!:\?)", text)


def test_each_partition_is_counted_by_exactly_one_stream_of_compose() -> None:
    named = [it["environment"].get("ADTALLY_STREAM__PARTITIONS", "") for it in OURS.values()]
    counted = sorted(int(number) for each in named if each for number in each.split(","))
    assert counted == list(range(load(EXAMPLE).config.log.partitions))


def test_compose_has_the_hosts_that_the_example_configuration_names() -> None:
    config = load(EXAMPLE).config
    urls = [config.lake.s3_endpoint, *config.olap.urls, *(f"kafka://{broker}" for broker in config.log.brokers)]
    hosts = {url.split("://")[1].split(":")[0] for url in urls}
    secret_hosts = set(re.findall(r"@([a-z]+)[:/]", SECRETS.read_text()))
    assert hosts | secret_hosts <= set(COMPOSE["services"])


def test_the_haproxy_of_compose_asks_the_edges_and_api_servers_at_their_addresses(tmp_path: Path) -> None:
    command = COMPOSE["services"]["haproxy"]["command"][0].split(" > ")[0]
    local = command.replace("/etc/haproxy.cfg", str(DEPLOY / "haproxy" / "haproxy.cfg"))
    configuration = subprocess.run(["sh", "-c", local], capture_output=True, text=True, check=True).stdout
    asked = sorted(re.findall(r"^  server \S+ (\S+)$", configuration, re.MULTILINE))
    port = {"edge": 8080, "serve": 8081}
    addresses = [
        f"{it['networks']['cluster']['ipv4_address']}:{port[it['command'][0]]}"
        for it in OURS.values()
        if it["command"][0] in port
    ]
    assert asked == sorted(addresses)
    assert "127.0.0.1" not in configuration


def test_kubernetes_selects_what_it_labels() -> None:
    labels = {it["spec"]["template"]["metadata"]["labels"]["app"] for it in workloads().values()}
    for it in manifests():
        if it["kind"] in {"Service", "PodDisruptionBudget", "Deployment", "StatefulSet"}:
            selector = it["spec"]["selector"]
            assert selector.get("matchLabels", selector)["app"] in labels, it["metadata"]["name"]


def test_kubernetes_keeps_what_an_edge_has_on_disk_and_runs_one_reconciler() -> None:
    found = workloads()
    assert [claim["metadata"]["name"] for claim in found["adtally-edge"]["spec"]["volumeClaimTemplates"]] == ["data"]
    for single in ("adtally-reconciler", "adtally-archiver"):
        assert found[single]["spec"]["replicas"] == 1
        assert found[single]["spec"]["strategy"] == {"type": "Recreate"}


def test_each_partition_is_counted_by_exactly_one_pod(tmp_path: Path) -> None:
    stream = workloads()["adtally-stream"]["spec"]
    container = stream["template"]["spec"]["containers"][0]
    (tmp_path / "adtally").write_text('#!/bin/sh\nprintf %s "$ADTALLY_STREAM__PARTITIONS"\n')
    (tmp_path / "adtally").chmod(0o700)
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert int(given["PROCESSES"]) == stream["replicas"]
    counted: list[int] = []
    for number in range(stream["replicas"]):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NUMBER": str(number), **given}
        told = subprocess.run(container["command"], env=environment, capture_output=True, text=True, check=True).stdout
        counted += [int(partition) for partition in told.split(",")]
    assert sorted(counted) == list(range(load(EXAMPLE).config.log.partitions))


def test_all_units_are_hardened_alike_and_run_roles() -> None:
    units = {path.name: path.read_text().splitlines() for path in (DEPLOY / "systemd").glob("*.service")}
    own = ("#", "Description=", "ExecStart=", "EnvironmentFile=", "StateDirectory=")
    alike = {tuple(line for line in lines if not line.startswith(own)) for lines in units.values()}
    assert len(units) == 3
    assert len(alike) == 1
    commands = [line.split()[1] for lines in units.values() for line in lines if line.startswith("ExecStart=")]
    assert set(commands) - {"%i"} <= ROLES

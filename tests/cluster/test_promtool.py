"""What Prometheus and Grafana are given, judged by Prometheus' own tool."""

import subprocess
from pathlib import Path

import httpx
import pytest
from deploy.prometheus.promtool import promtool, questions

from support.embedded import Embedded

pytestmark = pytest.mark.servers


def test_rules_stories_and_queries_are_right(tmp_path: Path) -> None:
    for question in questions(tmp_path):
        done = subprocess.run([promtool(), *question], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{question}\n{done.stdout}{done.stderr}"


def test_names_and_help_of_metrics_are_as_prometheus_wants_them(tmp_path: Path) -> None:
    system = Embedded(tmp_path / "data")
    system.start()
    try:
        for url in (system.click_url, system.api_url):
            text = httpx.get(f"{url}/-/metrics", timeout=30, trust_env=False).content
            done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    finally:
        system.stop()

"""Prometheus' own tool, from Debian's package, and what it is asked about this folder's files and the dashboard."""

import json
from pathlib import Path
from typing import Any, Final

from deploy.grafana.dashboard import FILE
from deploy.local.installing import debian, installed

HERE: Final = Path(__file__).parent
RULES: Final = HERE / "alerts.yaml"
STORIES: Final = HERE / "alerts_test.yaml"


def promtool() -> Path:
    """Give the program, fetched if it is not there yet. Raises ServerError."""
    return installed("prometheus-debian", lambda folder: debian(folder, ["prometheus"])) / "usr" / "bin" / "promtool"


def questions(folder: Path) -> list[list[str | Path]]:
    """Give the arguments of each call; `folder` takes the dashboard's queries as rules, which promtool can read."""
    queries = folder / "dashboard.yaml"
    queries.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": _as_rules(dashboard_queries())}]}))
    return [
        ["check", "config", HERE / "prometheus.yaml"],
        ["check", "rules", RULES],
        ["test", "rules", STORIES],
        ["check", "rules", queries],
    ]


def dashboard_queries() -> list[str]:
    """Give every query of the dashboard, with the interval that Grafana fills in."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    targets = [target for panel in found["panels"] for target in panel.get("targets", ())]
    return [target["expr"].replace("$__rate_interval", "1m") for target in targets]


def _as_rules(queries: list[str]) -> list[dict[str, str]]:
    return [{"record": f"panel:query{number}", "expr": query} for number, query in enumerate(queries)]

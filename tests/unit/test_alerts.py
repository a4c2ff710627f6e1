"""Alerts, dashboard and the operators' page speak of the same things; `make check-deploy` shows them to promtool."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.grafana import dashboard
from deploy.prometheus.promtool import RULES, STORIES, dashboard_queries

from support.metric_tables import PAGE, named, table

TABLE = table("metrics")
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
STORIES_TOLD: list[dict[str, Any]] = yaml.safe_load(STORIES.read_text())["tests"]
SEVERITIES = {"page", "ticket"}


def runbooks() -> dict[str, str]:
    """Give the text below each alert's heading."""
    section = PAGE.read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    parts = re.split(r"^### (Adtally\w+)$", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_names_metrics_that_there_are_and_the_table_names_the_alert(name: str) -> None:
    metrics = named(ALERTS[name]["expr"])
    assert metrics <= TABLE.keys()
    assert metrics == {metric for metric, row in TABLE.items() if name in row.alerts}


def test_the_table_names_no_alert_that_is_none() -> None:
    assert {alert for row in TABLE.values() for alert in row.alerts} <= ALERTS.keys()


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert runbooks().keys() == ALERTS.keys()
    for name, text in runbooks().items():
        assert all(f"**{part}" in text for part in ("Means:**", "Look", "Over:**")), name
        assert re.search(r"\*\*(Do|Look and do):\*\*", text), name
        assert "**Harmed:**" in text or "Look and do:** as at" in text, name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_who_is_to_come_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]


def test_every_alert_fires_in_a_story_and_one_story_has_them_all_silent() -> None:
    fired = {
        label
        for story in STORIES_TOLD
        for test in story["promql_expr_test"]
        for sample in test.get("exp_samples") or ()
        for label in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == ALERTS.keys()
    quiet = STORIES_TOLD[0]
    assert quiet["promql_expr_test"][0]["exp_samples"] == []
    watched = {name for series in quiet["input_series"] for name in named(series["series"])}
    wanted = {name for rule in ALERTS.values() for name in named(rule["expr"])}
    # Counts that stay at nothing need no story to be quiet.
    assert wanted - watched <= {
        "adtally_edge_crowded_workers",
        "adtally_edge_defects_total",
        "adtally_edge_refresh_failures_total",
        "adtally_serve_cache_total",
    }


def test_stories_tell_of_metrics_that_there_are() -> None:
    told = {name for story in STORIES_TOLD for each in story.get("input_series", ()) for name in named(each["series"])}
    assert told <= TABLE.keys()


def test_the_dashboard_is_what_its_panels_make() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "python -m deploy.grafana.dashboard writes it anew"


def test_the_dashboard_names_metrics_that_there_are() -> None:
    shown = {name for query in dashboard_queries() for name in named(query)}
    assert shown <= TABLE.keys()
    # What pages somebody is to be seen.
    for name, rule in ALERTS.items():
        if rule["labels"]["severity"] == "page" and name not in {
            "AdtallyCrashLoop", "AdtallyReaderStopped", "AdtallySpoolFull", "AdtallyApiNotReady",
        }:  # fmt: skip
            assert named(rule["expr"]) <= shown, name


def test_no_panel_lies_upon_another_and_each_says_what_it_shows() -> None:
    panels = dashboard.dashboard()["panels"]
    assert max(Counter(panel["id"] for panel in panels).values()) == 1
    assert max(Counter(panel["title"] for panel in panels).values()) == 1
    places = []
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= dashboard.WIDTH
        places.append({(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])})
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]
    assert not any(one & other for one, other in combinations(places, 2))


def test_the_example_asks_ports_that_answer_and_reads_these_rules() -> None:
    example = yaml.safe_load((Path(RULES).parent / "prometheus.yaml").read_text())
    assert example["rule_files"] == [RULES.name]
    jobs = {job["job_name"]: job for job in example["scrape_configs"]}
    assert jobs.keys() == {"adtally-edge", "adtally-api", "adtally-roles"}
    assert {job["metrics_path"] for job in jobs.values()} == {"/-/metrics"}
    named_jobs = set(re.findall(r'job="(adtally-\w+)"', RULES.read_text() + STORIES.read_text()))
    assert named_jobs <= jobs.keys()

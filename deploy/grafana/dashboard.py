"""Writes adtally.json, the Grafana dashboard, from a list of panels: `python -m deploy.grafana.dashboard`."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).with_name("adtally.json")
WIDTH: Final = 24
"""Of a dashboard, in Grafana's columns."""
PANEL_WIDTH: Final = 8
PANEL_HEIGHT: Final = 8


class Panel(NamedTuple):
    """One picture: what it shows, in Grafana's name of a unit, and each query with its legend."""

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]


_BATCHES: Final = "rate(adtally_edge_batch_seconds_bucket[$__rate_interval])"
_ANSWERS: Final = 'rate(adtally_serve_request_seconds_bucket{route!="/v1/live"}[$__rate_interval])'

ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Clicks": (
        Panel(
            "Events by verdict",
            "What came, as edges judged it. Only ok is ever counted.",
            "cps",
            (("sum by (verdict) (rate(adtally_edge_events_total[$__rate_interval]))", "{{verdict}}"),),
        ),
        Panel(
            "Kept, and sent on without being kept",
            "The second must be zero.",
            "cps",
            (
                ("sum(rate(adtally_edge_recorded_total[$__rate_interval]))", "kept"),
                ("sum by (reason) (rate(adtally_edge_unrecorded_total[$__rate_interval]))", "not kept: {{reason}}"),
            ),
        ),
        Panel(
            "Requests that made no event",
            "Unknown ads and bad parameters are the senders' matter; many of them are worth a look.",
            "cps",
            (("sum by (reason) (rate(adtally_edge_refused_total[$__rate_interval]))", "{{reason}}"),),
        ),
    ),
    "Durability": (
        Panel(
            "Time of an append",
            "Each click waits for one, so this is most of what an edge adds to a redirect.",
            "s",
            tuple(
                (
                    f"histogram_quantile({part}, sum by (le) ({_BATCHES}))",
                    f"p{round(part * 100)}",
                )
                for part in (0.5, 0.99)
            ),
        ),
        Panel(
            "Appends",
            "A failed one leaves clicks unrecorded, or moves them to the spool.",
            "cps",
            (
                ("sum(rate(adtally_edge_batches_durable_total[$__rate_interval]))", "durable"),
                ("sum(rate(adtally_edge_batches_failed_total[$__rate_interval]))", "failed"),
            ),
        ),
        Panel(
            "Ready, and what waits",
            "Ready is 1 while every worker's log takes clicks; crowded workers leave new connections to the kernel.",
            "short",
            (
                ("adtally_edge_ready", "ready {{instance}}"),
                ("adtally_edge_crowded_workers", "crowded workers {{instance}}"),
                ("adtally_edge_pending_events", "events that wait {{instance}}"),
            ),
        ),
        Panel(
            "Spool",
            "Clicks on edges' own disks, because Kafka did not take them.",
            "bytes",
            (("adtally_edge_spool_bytes", "{{instance}}"),),
        ),
        Panel(
            "Oldest click in the spool",
            "While a click waits here, numbers are not complete.",
            "s",
            (("adtally_edge_spool_oldest_seconds", "{{instance}}"),),
        ),
        Panel(
            "Spool drained",
            "What went into the log after it had waited.",
            "cps",
            (("rate(adtally_edge_spool_drained_total[$__rate_interval])", "{{instance}}"),),
        ),
    ),
    "Freshness": (
        Panel(
            "Age of the live numbers",
            "From as_of, before which everything is counted, to now.",
            "s",
            (("adtally_serve_lag_seconds", "{{instance}}"), ("adtally_reader_lag_seconds", "reader {{reader}}")),
        ),
        Panel(
            "Archiver",
            "How far the lake is behind the log. It writes about once a minute.",
            "s",
            (
                ("adtally_archiver_lag_seconds", "{{partition}}"),
                ("adtally_archiver_oldest_unarchived_seconds", "oldest event not archived"),
            ),
        ),
        Panel(
            "What the stream does",
            "Late events are counted by the recount, not live.",
            "cps",
            tuple(
                (f"sum(rate(adtally_stream_{name}_total[$__rate_interval]))", name)
                for name in ("events", "duplicates", "late", "repeats")
            ),
        ),
    ),
    "Finality": (
        Panel(
            "Age of the newest final hour",
            "An hour and some minutes, and up to one more hour, are as it should be.",
            "s",
            (
                ("max(adtally_ledger_final_age_seconds)", "since final_through"),
                ("max(adtally_ledger_overdue_seconds)", "overdue"),
            ),
        ),
        Panel(
            "Hours by state",
            "Damaged ones lost events, and wait for a person.",
            "short",
            (('max by (state) (adtally_ledger_states{state!="final"})', "{{state}}"),),
        ),
        Panel(
            "The last day: what recounts corrected",
            "Late events differ by their nature; more than these is worth a look.",
            "short",
            tuple((f"max(adtally_ledger_day_{name})", name) for name in ("difference", "late", "missing")),
        ),
        Panel(
            "Newest recount",
            "How long it took. From an hour on, recounts fall behind.",
            "s",
            (
                ("max(adtally_ledger_recount_seconds)", "recount"),
                ("max(adtally_reconcile_pass_age_seconds)", "last pass"),
            ),
        ),
        Panel(
            "Dead letters",
            "Pieces of the log that could not be read, and were not replayed.",
            "short",
            (("max(adtally_dead_letters_waiting)", "waiting"),),
        ),
        Panel(
            "Damage of all hours",
            "Numbers that are missing, and what was corrected, ever.",
            "short",
            (("max(adtally_ledger_missing)", "missing"), ("max(adtally_ledger_difference)", "difference")),
        ),
    ),
    "API": (
        Panel(
            "Answers by status",
            "Of all API servers.",
            "reqps",
            (("sum by (status) (rate(adtally_serve_requests_total[$__rate_interval]))", "{{status}}"),),
        ),
        Panel(
            "Time of an answer, p99",
            "By route; live answers last as long as their readers stay.",
            "s",
            (
                (
                    f"histogram_quantile(0.99, sum by (le, route) ({_ANSWERS}))",
                    "{{route}}",
                ),
            ),
        ),
        Panel(
            "Where answers come from",
            "The cache (hit), a query (miss, uncached), somebody else's query (flight).",
            "reqps",
            (("sum by (outcome) (rate(adtally_serve_cache_total[$__rate_interval]))", "{{outcome}}"),),
        ),
    ),
    "Host": (
        Panel(
            "Room on the disks",
            "Of each part's data folder.",
            "percentunit",
            (("adtally_disk_free_bytes / adtally_disk_size_bytes", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident, by process.",
            "bytes",
            (
                ("adtally_process_memory_bytes", "{{process}} {{instance}}"),
                ('process_resident_memory_bytes{job="adtally-roles"}', "{{instance}}"),
            ),
        ),
        Panel(
            "Restarts and clocks",
            "In the last quarter of an hour.",
            "short",
            (
                ("increase(adtally_process_restarts_total[15m])", "restarts of {{process}}"),
                ("changes(adtally_edge_start_time_seconds[15m])", "starts of edges {{instance}}"),
                ("increase(adtally_edge_clock_jumps_total[15m])", "clock jumps {{instance}}"),
            ),
        ),
    ),
}

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Give the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
                "panels": [],
            }
        )
        top += 1
        for place, panel in enumerate(row):
            across, down = place * PANEL_WIDTH % WIDTH, place * PANEL_WIDTH // WIDTH * PANEL_HEIGHT
            panels.append(_panel(len(panels) + 1, panel, across, top + down))
        top += -(-len(row) * PANEL_WIDTH // WIDTH) * PANEL_HEIGHT
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    return {
        "uid": "adtally",
        "title": "adtally",
        "description": "Clicks, whether they are kept, how fresh and how final their numbers are.",
        "tags": ["adtally"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(number: int, panel: Panel, across: int, down: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"x": across, "y": down, "w": PANEL_WIDTH, "h": PANEL_HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """Give the file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())

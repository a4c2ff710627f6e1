"""Clicks of many days are imported into a running system, and every hour becomes final by itself."""

import json
import random
import re
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adtally.clock import SYSTEM_CLOCK
from support.embedded import Embedded, wait_for

AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
ADS = "ad_id,advertiser_id,landing_url\nad_1,acme,https://shop.example/\nad_2,acme,https://shop.example/\n"
SETTLES_S = 1_800.0


class Rows:
    """A file of history, and the clicks in it: no impression comes twice, so each row is one."""

    def __init__(self, rnd: random.Random, count: int, days: int) -> None:
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        self.start = (end - timedelta(days=days)).replace(hour=0)
        span_ms = round((end - self.start).total_seconds() * 1000)
        self.rows = [
            {
                "ts": round(self.start.timestamp() * 1000) + rnd.randrange(span_ms),
                "ad_id": rnd.choice(["ad_1", "ad_2"]),
                "user_id": f"u{rnd.randrange(900)}",
                "impression_id": f"i{number}",
                "user_agent": AGENT,
            }
            for number in range(count)
        ]

    def write(self, file: Path) -> Path:
        file.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return file

    def by(self, ad_id: str, granularity: str, zone: ZoneInfo) -> dict[str, tuple[int, int]]:
        """Give clicks and users of each bucket that has any, by the calendar of a zone."""
        users: dict[str, list[str]] = defaultdict(list)
        for row in self.rows:
            if row["ad_id"] == ad_id:
                at = datetime.fromtimestamp(int(str(row["ts"])) / 1000, zone).replace(second=0, microsecond=0, minute=0)
                if granularity != "hour":
                    at = at.replace(hour=0)
                if granularity == "week":
                    at -= timedelta(days=at.weekday())
                if granularity == "month":
                    at = at.replace(day=1)
                users[at.isoformat().replace("+00:00", "Z")].append(str(row["user_id"]))
        return {start: (len(found), len(set(found))) for start, found in users.items()}


@pytest.mark.system
def test_imported_history_becomes_final_by_itself_and_equals_an_independent_count(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setenv("ADTALLY_RECONCILE__EVERY_MS", "1000")
    monkeypatch.setenv("ADTALLY_LAKE__FLUSH_MS", "3000")
    count: int = pytestconfig.getoption("--history-rows")
    rows = Rows(random.Random(seed), count, pytestconfig.getoption("--history-days"))
    file = rows.write(tmp_path / "history.ndjson")
    (tmp_path / "ads.csv").write_text(ADS)
    system = Embedded(tmp_path / "data")
    system.start()
    try:
        system.command("ads", "import", str(tmp_path / "ads.csv"))
        assert f": {count:,} clicks imported" in system.command("import", str(file))
        begun_s = SYSTEM_CLOCK.monotonic_s()
        wait_for(lambda: final_events(system) == count, SETTLES_S, "every hour is final")
        print(f"{count:,} clicks were final after {SYSTEM_CLOCK.monotonic_s() - begun_s:.0f} s")
        check_numbers(system, rows)
        check_audit(system, rows)
        commit = max(line["commit"] for line in lines_with_clicks(system, rows))
        assert ": 0 clicks imported" in system.command("import", str(file))
        system.command("reconcile")
        lines = lines_with_clicks(system, rows)
        assert all(line["revision"] == 1 for line in lines)
        # What became of yesterday is looked at once more whoever imports.
        later = [line for line in lines if line["commit"] > commit and line["kind"] != "second pass"]
        assert later == [], "an import that was done changes nothing"
    finally:
        assert system.stop() == 0
    system.command("rebuild", "--yes")
    system.start()
    try:
        check_numbers(system, rows)
    finally:
        assert system.stop() == 0


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def final_events(system: Embedded) -> int:
    """Give the events of all hours that are final."""
    total, after = 0, ""
    while True:
        params = {"start": "2020-01-01T00:00:00Z", "end": now(), "limit": "1000"}
        page = system.api("/v1/ledger", **params, **({"after": after} if after else {}))
        total += sum(int(line["received"]) for line in page["lines"] if line["state"] == "final")
        after = page["next"] or ""
        if not after:
            return total


def lines_with_clicks(system: Embedded, rows: Rows) -> list[dict[str, Any]]:
    """Give the newest line of each hour that has any; empty hours go on to end."""
    lines = system.api("/v1/ledger", start=rows.start.isoformat(), end=now(), limit="1000")["lines"]
    return [line for line in lines if line["received"]]


def check_numbers(system: Embedded, rows: Rows) -> None:
    count = len(rows.rows)
    for name in ("UTC", "Asia/Kathmandu", "Europe/Berlin"):
        zone = ZoneInfo(name)
        for granularity in ("hour", "day", "week", "month"):
            span = {"start": rows.start.isoformat(), "end": now()}
            answer = system.api("/metrics", ad_id="ad_1", granularity=granularity, timezone=name, **span)
            found = {
                row["timestamp"]: (row["clicks"], row["unique_users"]) for row in answer["metrics"] if row["clicks"]
            }
            assert found == rows.by("ad_1", granularity, zone), (name, granularity)
            wanted = {row["user_id"] for row in rows.rows if row["ad_id"] == "ad_1"}
            assert answer["totals"]["unique_users"] == len(wanted)
    quality = system.api("/v1/quality", start=rows.start.isoformat(), end=now(), advertiser_id="acme")
    assert (quality["received"], quality["counted"], quality["duplicate"]) == (count, count, 0)


def check_audit(system: Embedded, rows: Rows) -> None:
    """Count an hour by the statement that docs/auditing.md tells auditors to use."""
    document = (Path(__file__).parents[2] / "docs" / "auditing.md").read_text()
    found = re.search(r"```sql\n(.*?)```", document, re.DOTALL)
    assert found is not None
    at = rows.start + timedelta(days=5, hours=10)
    sql = found[1].replace("data/lake", str(system.folder / "lake")).replace("ad_123", "ad_1")
    sql = sql.replace("2026-11-23", f"{at:%Y-%m-%d}")
    done = subprocess.run([sys.executable, "-m", "chdb", sql, "CSV"], capture_output=True, text=True, check=True)
    clicks, users = rows.by("ad_1", "hour", ZoneInfo("UTC"))[at.isoformat().replace("+00:00", "Z")]
    assert done.stdout == f'"counted",{clicks},{users}\n'

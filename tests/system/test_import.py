"""An import beside a running system: it holds nobody up, and nothing of it shows in the live numbers."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from adtally.config import Config
from adtally.event import Closing
from adtally.eventlog.port import IMPORTS, REPLAYED_LETTERS, DeadLetter, Partition, Position
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.registry.port import Ad
from adtally.wiring import open_registry
from support.embedded import ANSWER_S, PATIENT, Embedded, wait_for
from support.import_log import read_log

ROWS = 5_000
DEADLINE_S = 90

pytestmark = pytest.mark.system


def click(system: Embedded, user_id: str) -> None:
    answer = httpx.get(
        f"{system.click_url}/click",
        params={"ad_id": "ad_1", "user_id": user_id},
        headers={"User-Agent": "curl/8.5.0"},
        timeout=ANSWER_S,
        trust_env=False,
    )
    assert answer.status_code == 302


def live_clicks(system: Embedded) -> int:
    now = datetime.now(UTC)
    start, end = now - timedelta(minutes=10), now + timedelta(minutes=1)
    span = {"start": start.isoformat(), "end": end.isoformat()}
    totals = system.api("/metrics", ad_id="ad_1", granularity="minute", **span)["totals"]
    return int(totals["clicks"])


def test_an_import_holds_nobody_up_and_shows_in_no_live_number(tmp_path: Path) -> None:
    system = Embedded(tmp_path / "data", environment=PATIENT)
    folder = DataFolder(system.folder)
    folder.prepare()
    registry = open_registry(folder, Config())
    registry.upsert_ads([Ad("ad_1", "adv_1", "https://shop.example/")])
    registry.close()
    # Younger than the lateness: by their times alone a stream would count them.
    now_ms = time.time_ns() // 1_000_000
    rows = "".join(f"{now_ms - 60_000 + n % 1_000},ad_1,past-{n}\n" for n in range(ROWS))
    (tmp_path / "history.csv").write_text("ts,ad_id,user_id\n" + rows)
    log = folder.log
    log.mkdir()
    # An import that goes on while the system starts.
    writer = SqliteLogWriter.open(log, IMPORTS, "import-x", 1, 1 << 20)
    system.start()
    try:
        click(system, "a")
        wait_for(lambda: live_clicks(system) == 1, DEADLINE_S, "a click is counted beside an import that goes on")
        writer.close(Closing("import-x", 0, 2, retired=True), 2)
        system.command("import", str(tmp_path / "history.csv"))
        assert len(read_log(log).events) == ROWS
        click(system, "b")
        wait_for(lambda: live_clicks(system) >= 2, DEADLINE_S, "a click after the import is counted")
        assert live_clicks(system) == 2

        found = read_log(log).events[0]
        letters = SqliteDeadLetters(folder.dead_letters)
        letters.put([DeadLetter(Partition("edge-0"), Position("1"), "no event", b"{", now_ms)])
        letters.close()
        (tmp_path / "mended").write_text(
            f'{{"ts_ms":{found.ts_ms},"ad_id":"ad_1","campaign_id":"","advertiser_id":"adv_1","user_id":"u",'
            '"device":"other","verdict":"ok","ip_prefix":"","user_agent":""}'
        )
        system.command("deadletters", "replay", "edge-0", "1", "--payload", str(tmp_path / "mended"))
        assert [event.user_id for event in read_log(log, REPLAYED_LETTERS).events] == ["u"]
        click(system, "c")
        wait_for(lambda: live_clicks(system) >= 3, DEADLINE_S, "a click after the replay is counted")
        assert live_clicks(system) == 3
    finally:
        assert system.stop() == 0

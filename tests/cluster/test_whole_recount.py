"""A past hour on the whole cluster: imported, archived to S3, recounted, published on ClickHouse, and noted."""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.local.role import Role, toml
from deploy.local.spark import Spark

from adtally.cli.reconcile import ENDED, POLL_S
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import minute_of
from adtally.serve.values import rfc3339
from adtally.traffic.fetch import counted_cells, wait_until_complete
from adtally.traffic.verify import Cell
from adtally.utc import HOUR_MS
from support.embedded import ADTALLY, wait_for
from support.patience import until_it_answers
from support.whole import WAIT_S_MAX, Whole

pytestmark = pytest.mark.servers

AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
ROWS = 3_000
WORKS = b"this reconciler is the one that works"


@pytest.fixture
def spark(whole: Whole) -> Iterator[Spark]:
    server = Spark(whole.folder / "spark")
    server.start()
    yield server
    server.stop()


def imported(whole: Whole, hour_ms: int, rnd: random.Random) -> Counter[Cell]:
    """Import clicks of an hour, of which none is a duplicate; give their number by ad and minute."""
    rows = [
        {
            "ts": hour_ms + rnd.randrange(HOUR_MS),
            "ad_id": rnd.choice(whole.ad_ids),
            "user_id": f"u{rnd.randrange(900)}",
            "impression_id": f"i{number}",
            "user_agent": AGENT,
        }
        for number in range(ROWS)
    ]
    file = whole.folder / f"{hour_ms}.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = ["--data-dir", str(whole.cluster.archiver.data_folder), "--config", str(whole.cluster.config)]
    done = subprocess.run([*ADTALLY, "import", str(file), *place], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Counter((str(row["ad_id"]), minute_of(int(str(row["ts"])))) for row in rows)


def recounted(whole: Whole, hour_ms: int) -> dict[str, Any]:
    """Ask for a recount of what is due, and wait until it has ended; give an hour's line of the ledger."""
    # Hours of which the live count may still hold something back are not complete.
    assert wait_until_complete(whole.client, hour_ms + HOUR_MS, WAIT_S_MAX, SYSTEM_CLOCK)
    wanted = {"hour": None, "dry_run": False, "accept_missing": False}
    state = until_it_answers(lambda: whole.client.post("/v1/reconcile", wanted))
    path = f"/v1/reconcile/{state['number']}"
    while state["state"] not in ENDED:
        time.sleep(POLL_S)
        state = until_it_answers(lambda: whole.client.get(path))
    assert not state["error"], state
    assert not state["failures"], state
    place = {"start": rfc3339(hour_ms), "end": rfc3339(hour_ms + HOUR_MS)}
    lines = until_it_answers(lambda: whole.client.get("/v1/ledger", **place))["lines"]
    assert len(lines) == 1, (state, lines)
    line: dict[str, Any] = lines[0]
    return line


def counted(whole: Whole, hour_ms: int) -> dict[Cell, int]:
    """Give what the API says of an hour."""
    return until_it_answers(lambda: counted_cells(whole.client, hour_ms, hour_ms + HOUR_MS))


def past_hour(hours_ago: int) -> int:
    return SYSTEM_CLOCK.now_ms() // HOUR_MS * HOUR_MS - hours_ago * HOUR_MS


def log_of(role: Role) -> bytes:
    return role.log_file.read_bytes()


def test_a_recounted_hour_has_the_numbers_that_were_imported(whole: Whole, seed: int) -> None:
    whole.add_ads("chdb")
    hour_ms = past_hour(4)
    wanted = imported(whole, hour_ms, random.Random(seed))
    line = recounted(whole, hour_ms)
    assert (line["state"], line["engine"].split()[0].lower()) == ("final", "chdb"), line
    assert counted(whole, hour_ms) == wanted


def test_of_two_reconcilers_one_works_and_the_other_takes_over_here_with_spark(
    whole: Whole, spark: Spark, seed: int, tmp_path: Path
) -> None:
    whole.add_ads("spark")
    settings = {"engine": "spark", "spark_master": spark.master, "spark_jars": str(spark.jars)}
    config = tmp_path / "spark.toml"
    config.write_text(toml({**whole.cluster.settings(), "reconcile": settings}))
    first, second = whole.cluster.reconciler, Role(whole.folder / "reconciler-2", "reconciler", config)
    second.start()
    try:
        assert WORKS not in log_of(second)
        first.kill()
        wait_for(lambda: WORKS in log_of(second), WAIT_S_MAX, "the second reconciler works")
        hour_ms = past_hour(6)
        wanted = imported(whole, hour_ms, random.Random(seed))
        line = recounted(whole, hour_ms)
        assert (line["state"], line["engine"].split()[0].lower()) == ("final", "spark"), line
        assert counted(whole, hour_ms) == wanted
    finally:
        second.stop()
        first.start()

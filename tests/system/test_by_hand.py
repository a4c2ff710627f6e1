"""What one does by hand with a new system, from an empty folder to numbers that survive a kill -9 of everything."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.embedded import ADTALLY, ANSWER_S, PATIENT, Embedded, kill, wait_for

CURL = "curl/8.5.0"
ADS = """ad_id,advertiser_id,landing_url,campaign_id,name,status
ad_123,adv_1,https://shop.example/shoes?c={ad_id}&i={impression_id},cmp_1,Shoes,active
ad_9,adv_2,https://lamps.example/,cmp_2,Lamps,active
"""

SEEN_S_MAX = 60.0
"""What is seen within seconds where nothing else runs; how soon, tests print."""

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("by-hand")
    system = Embedded(folder / "data", environment=PATIENT)
    system.start()
    (folder / "ads.csv").write_text(ADS)
    system.command("ads", "import", str(folder / "ads.csv"))
    wait_seen(lambda: click(system, "/click?ad_id=ad_9&user_id=first")[0] == 302, "the edge knows the ads")
    yield system
    if system.process is not None and system.process.poll() is None:
        system.stop()


def click(system: Embedded, path: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", system.click_port, timeout=ANSWER_S)
    connection.request("GET", path, headers={"User-Agent": CURL})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders())


def wait_seen(condition: Callable[[], bool], what: str) -> None:
    begun_s = time.monotonic()
    wait_for(condition, SEEN_S_MAX, what)
    print(f"{what}: after {time.monotonic() - begun_s:.1f} s")


def this_hour() -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "start": (now - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:00Z"),
        "end": (now + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:00Z"),
    }


def totals(system: Embedded, ad_id: str) -> tuple[int, int]:
    answer = system.api("/metrics", ad_id=ad_id, granularity="minute", **this_hour())
    return answer["totals"]["clicks"], answer["totals"]["unique_users"]


def quality(system: Embedded, ad_id: str) -> Any:
    return system.api("/v1/quality", ad_id=ad_id, **this_hour())


def outcomes(system: Embedded, ad_id: str) -> tuple[int, int, int]:
    report = quality(system, ad_id)
    return report["received"], report["counted"], report["duplicate"]


def test_a_click_is_redirected_counted_once_and_still_there_after_a_kill_of_everything(system: Embedded) -> None:
    status, headers = click(system, "/click?ad_id=ad_123&user_id=user_456&impression_id=imp%201")
    assert status == 302
    assert headers["Location"] == "https://shop.example/shoes?c=ad_123&i=imp%201"
    assert headers["Cache-Control"] == "no-store"
    assert "X-Click-Recorded" not in headers
    assert click(system, "/click?ad_id=ad_123&user_id=user_456&impression_id=imp%201")[0] == 302
    assert click(system, "/click?ad_id=ad_123&user_id=user_457")[0] == 302

    wait_seen(lambda: totals(system, "ad_123") == (2, 2), "two clicks of two people in /metrics")
    wait_seen(lambda: outcomes(system, "ad_123") == (3, 2, 1), "three clicks of which one is a duplicate")
    answer = system.api("/metrics", ad_id="ad_123", granularity="minute", **this_hour())
    assert answer["ad_id"] == "ad_123"
    assert set(answer) == {
        "ad_id", "metrics", "totals", "as_of", "final_through", "granularity", "timezone", "unique_users_method",
        "unique_users_error",
    }  # fmt: skip
    assert set(answer["metrics"][0]) == {"timestamp", "clicks", "unique_users", "status", "revision"}
    assert {row["status"] for row in answer["metrics"]} == {"provisional"}

    system.kill_all()
    system.start()
    wait_seen(lambda: totals(system, "ad_123") == (2, 2), "the same numbers after everything was killed")
    assert click(system, "/click?ad_id=ad_123&user_id=user_456&impression_id=imp%201")[0] == 302
    wait_seen(lambda: quality(system, "ad_123")["duplicate"] == 2, "the click is still known to be the same")
    assert totals(system, "ad_123") == (2, 2)


def test_edges_see_a_changed_ad_while_they_run(system: Embedded) -> None:
    click(system, "/click?ad_id=ad_9&user_id=warm")
    system.command("ads", "set", "ad_9", "--status", "archived")
    wait_seen(lambda: click(system, "/click?ad_id=ad_9&user_id=u")[0] == 404, "an archived ad is 404")
    system.command("ads", "set", "ad_9", "--status", "active", "--landing-url", "https://lamps.example/new")
    wait_seen(
        lambda: click(system, "/click?ad_id=ad_9&user_id=u")[1].get("Location") == "https://lamps.example/new",
        "the new landing URL",
    )


def test_an_advertisers_key_sees_that_advertisers_ads_and_no_others(system: Embedded) -> None:
    key = json.loads(system.command("keys", "create", "--advertiser", "adv_1", "--json"))["key"]
    headers = {"Authorization": f"Bearer {key}"}
    statuses = {
        ad_id: httpx.get(
            f"{system.api_url}/metrics",
            params={"ad_id": ad_id, **this_hour()},
            headers=headers,
            timeout=ANSWER_S,
            trust_env=False,
        ).status_code
        for ad_id in ("ad_123", "ad_9", "nothing")
    }
    assert statuses == {"ad_123": 200, "ad_9": 404, "nothing": 404}


@pytest.mark.parametrize("name", ["edge-0", "counter", "store"])
def test_a_killed_process_is_replaced(system: Embedded, name: str) -> None:
    before = system.run_info()
    kill(before["pids"][name])
    wait_seen(lambda: system.run_info()["pids"][name] != before["pids"][name], f"another {name}")
    before_clicks = quality(system, "ad_123")["received"] if name != "store" else None
    assert click(system, "/click?ad_id=ad_123&user_id=after-" + name)[0] == 302
    if before_clicks is not None:
        wait_seen(lambda: quality(system, "ad_123")["received"] > before_clicks, "clicks are counted again")
    wait_seen(lambda: answers(system), "the API answers again")


def answers(system: Embedded) -> bool:
    try:
        return bool(quality(system, "ad_123")["received"])
    except httpx.HTTPError:
        return False


def test_status_and_metrics_print_what_a_person_wants_to_know(system: Embedded) -> None:
    wait_seen(lambda: answers(system), "the API answers")
    command = [*ADTALLY, "status", "--data-dir", str(system.folder)]
    wait_seen(
        lambda: subprocess.run(command, check=False, capture_output=True).returncode == 0, "every part is healthy"
    )
    assert "ad_123" not in system.command("metrics", "ad_9", "--since", "10m")
    assert "provisional" in system.command("metrics", "ad_123", "--since", "10m")


def test_a_second_system_on_the_folder_is_refused_and_names_the_holder(system: Embedded) -> None:
    done = subprocess.run(
        [*ADTALLY, "up", "--data-dir", str(system.folder)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert system.process is not None
    assert f"in use by process {system.process.pid}" in done.stderr


def test_a_port_that_is_taken_is_named_with_the_flag_that_chooses_another(system: Embedded, tmp_path: Path) -> None:
    command = [*ADTALLY, "up", "--data-dir", str(tmp_path / "other"), "--click-port", "0"]
    done = subprocess.run(
        [*command, "--api-port", str(system.api_port)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert f"127.0.0.1:{system.api_port}" in done.stderr
    assert "--api-port" in done.stderr


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("999\n")
    done = subprocess.run(
        [*ADTALLY, "up", "--data-dir", str(tmp_path)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "data of version 999" in done.stderr


def test_a_crash_loop_is_reported_and_not_hidden(tmp_path: Path) -> None:
    system = Embedded(tmp_path / "data")
    system.start()
    try:
        for _ in range(5):
            pid = system.run_info()["pids"]["counter"]
            kill(pid)
            wait_for(lambda pid=pid: system.run_info()["pids"]["counter"] != pid, SEEN_S_MAX, "another counter")  # type: ignore[misc]
        wait_seen(lambda: "crash loop" in system.log.read_text(), "the crash loop is in the log")
        assert system.run_info()["restarts"]["counter"] >= 4
        shown = subprocess.run([*ADTALLY, "status", "--data-dir", str(system.folder)], check=False, capture_output=True)
        assert shown.returncode == 1
        assert b"crash loop: the log of `adtally up` says why" in shown.stdout
    finally:
        assert system.stop() == 0


def test_an_orderly_end_leaves_no_process_and_no_run_file(tmp_path: Path) -> None:
    system = Embedded(tmp_path / "data", edges=2)
    system.start()
    pids = list(system.run_info()["pids"].values())
    assert system.stop() == 0
    assert not (system.folder / "run.json").exists()
    wait_seen(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "no child is left behind")

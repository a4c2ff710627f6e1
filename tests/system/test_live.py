"""Live minutes of a running system: a real click moves them, and nobody waits for them when it stops."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.embedded import ANSWER_S, PATIENT, Embedded

SEEN_S_MAX = 60.0
EVENTS_MAX = 100
PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Embedded]:
    system = Embedded(tmp_path / "data", environment=PATIENT)
    system.start()
    yield system
    if system.process is not None and system.process.poll() is None:
        system.stop()


def test_a_click_is_seen_live_and_an_open_answer_does_not_hold_up_the_end(system: Embedded, tmp_path: Path) -> None:
    (tmp_path / "ads.csv").write_text("ad_id,advertiser_id,landing_url\nad_1,acme,https://shop.example/\n")
    system.command("ads", "import", str(tmp_path / "ads.csv"))
    headers = {"Authorization": f"Bearer {(system.folder / 'admin.key').read_text().strip()}"}
    with httpx.stream("GET", f"{system.api_url}/v1/live", headers=headers, timeout=ANSWER_S, trust_env=False) as answer:
        events = (line for line in answer.iter_lines() if line.startswith("data: "))
        assert '"clicks":0' in next(events)
        deadline = time.monotonic() + SEEN_S_MAX
        click = f"{system.click_url}/click?ad_id=ad_1&user_id=ann"
        while httpx.get(click, headers=PERSON, timeout=ANSWER_S, trust_env=False).status_code != 302:
            assert time.monotonic() < deadline, "the edge did not see the ad"
        # A new minute may begin before.
        while '"clicks":1' not in next(events):
            assert time.monotonic() < deadline, "the click was not seen"
        begun_s = time.monotonic()
        assert system.stop() == 0
        print(f"ended after {time.monotonic() - begun_s:.1f} s")
        # Who waits for an answer that stays open is killed by the supervisor. What is still told, a new minute or what
        # was counted last, is no matter: it ends.
        assert "did not stop in time" not in system.log.read_text()
        assert len(list(events)) < EVENTS_MAX

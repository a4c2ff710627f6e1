"""A running system shows exactly the metrics that the operators' page tells of."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.embedded import ANSWER_S, PATIENT, Embedded, kill, wait_for
from support.metric_tables import exposed, table

pytestmark = pytest.mark.system

SEEN_S = 90.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    made = Embedded(tmp_path_factory.mktemp("operations") / "data", edges=2, environment=PATIENT)
    made.start()
    yield made
    made.stop()


def metrics(url: str) -> str:
    answer = httpx.get(f"{url}/-/metrics", timeout=ANSWER_S, trust_env=False)
    answer.raise_for_status()
    return answer.text


def number(text: str, series: str) -> float | None:
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(found[0]) if found else None


def test_the_page_tells_of_each_metric_and_of_no_other(system: Embedded, tmp_path: Path) -> None:
    ads = tmp_path / "ads.csv"
    ads.write_text("ad_id,advertiser_id,landing_url\nad_1,adv_1,https://example.org/\n")
    system.command("ads", "import", str(ads))
    clicked = httpx.get(f"{system.click_url}/click?ad_id=ad_1&user_id=u", timeout=ANSWER_S, trust_env=False)
    assert clicked.status_code == 302
    # Some show when what they are about has happened for the first time.
    wait_for(lambda: shown(system).keys() >= table("metrics").keys(), SEEN_S, "each metric of the page")
    assert shown(system).keys() == table("metrics").keys()


def shown(system: Embedded) -> dict[str, str]:
    return exposed(metrics(system.click_url)) | exposed(metrics(system.api_url))


def test_names_and_units_are_prometheus_own(system: Embedded) -> None:
    for name, kind in shown(system).items():
        assert (kind == "counter") == name.endswith("_total"), name
        unit = table("metrics")[name].unit
        assert ("seconds" in unit) == name.endswith("_seconds"), name
        assert (unit == "bytes") == ("_bytes" in name), name


def test_a_click_shows_at_the_edge_and_a_killed_worker_as_a_restart(system: Embedded) -> None:
    before = metrics(system.click_url)
    assert (number(before, "adtally_edge_recorded_total") or 0) >= 1
    assert (number(before, 'adtally_edge_batch_seconds_bucket{le="+Inf"}') or 0) >= 1
    kill(system.run_info()["pids"]["edge-0"])
    restarts = 'adtally_process_restarts_total{process="edge-0"}'
    wait_for(lambda: number(metrics(system.api_url), restarts) == 1, SEEN_S, "the restart is shown")

    def well_again() -> bool:
        text = metrics(system.click_url)
        return number(text, "adtally_edge_ready") == 1 and number(text, "adtally_edge_connections") == 1

    wait_for(well_again, SEEN_S, "what the dead worker said last is forgotten")
    assert (number(metrics(system.click_url), "adtally_edge_recorded_total") or 0) >= 1

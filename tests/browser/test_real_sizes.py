"""The page of an advertiser with 100,000 ads, over a real system."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from adtally.rfc3339 import parse_rfc3339
from browser.conftest import OpenVisit
from browser.test_real_system import PATIENT, VISIBLE_MS_MAX, RealSystem
from browser.visit import Visit
from support.embedded import Embedded

ADS = 100_000

FIRST_PAINT = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('[role=slider] canvas') || document.querySelector('.figure .skeleton')) return;
  observer.disconnect();
  const note = () => { document.documentElement.dataset.paintedMs = performance.now(); };
  requestAnimationFrame(() => requestAnimationFrame(note));
}).observe(document, { childList: true, subtree: true, attributes: true });
"""

NO_POLLING = """
const later = window.setTimeout;
window.setTimeout = (call, ms, ...rest) => (ms >= 500 ? 0 : later(call, ms, ...rest));
"""
"""What waits for half a second or more never happens: polls and retries."""

pytestmark = [pytest.mark.browser, pytest.mark.system]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("sizes")
    embedded = Embedded(folder / "data", environment=PATIENT)
    with (folder / "ads.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ad_id", "advertiser_id", "landing_url", "name"])
        rows.writerow(["ad_foreign", "umbra", "https://lamps.example/", "Banner of somebody else"])
        rows.writerows([f"ad_{n:06}", "acme", f"https://shop.example/{n}", f"Banner {n:06}"] for n in range(ADS))
    embedded.command("ads", "import", str(folder / "ads.csv"))
    embedded.start()
    yield embedded
    assert embedded.stop() == 0


@pytest.fixture
def system(embedded: Embedded) -> RealSystem:
    answer = json.loads(embedded.command("keys", "create", "--advertiser", "acme", "--json"))
    return RealSystem(embedded, answer["key"])


@pytest.fixture
def visit(visits: OpenVisit) -> Visit:
    return visits(refusals_expected=(403, 404))


def test_any_of_a_hundred_thousand_ads_is_found_by_a_part_of_its_name_or_id(visit: Visit) -> None:
    visit.system.click("ad_087654", "reader")
    page = visit.open()
    picker = page.get_by_role("combobox", name="Ad")
    picker.click()
    picker.fill("BANNER 08765")
    expect(page.locator("#ad-list li")).to_have_count(10)
    picker.fill("somebody else")
    expect(page.locator(".picker-summary")).to_have_text("No ad matches.")
    picker.fill("_087654")
    page.get_by_role("option", name="Banner 087654").click()
    expect(picker).to_have_value("Banner 087654")
    clicks = page.locator(".figure", has_text="Clicks").locator("dd").first
    expect(clicks).to_have_text("1", timeout=VISIBLE_MS_MAX)
    page.go_back()
    page.get_by_role("button", name="ad_087654").click()
    expect(picker).to_have_value("Banner 087654")


def test_a_click_at_the_edge_moves_the_number_by_an_event_alone_where_nothing_is_polled(visit: Visit) -> None:
    visit.system.click("ad_000001", "first")
    clicks = visit.page.locator(".figure", has_text="Clicks").locator("dd").first
    visit.page.add_init_script(NO_POLLING)
    with visit.page.expect_response("**/v1/live**"):
        visit.open("?ad=ad_000001")
    expect(clicks).to_have_text("1", timeout=VISIBLE_MS_MAX)
    visit.system.click("ad_000001", "second")
    expect(clicks).to_have_text("2", timeout=VISIBLE_MS_MAX)


def test_the_parquet_file_of_the_page_holds_what_the_api_answers(visit: Visit, tmp_path: Path) -> None:
    for user in ("one", "two", "three"):
        visit.system.click("ad_000002", user)
    page = visit.open("?ad=ad_000002")
    expect(page.locator(".figure", has_text="Clicks").locator("dd").first).to_have_text("3", timeout=VISIBLE_MS_MAX)
    link = page.get_by_role("link", name="Parquet")
    with page.expect_download() as started:
        link.click()
    started.value.save_as(tmp_path / "clicks.parquet")
    rows = pq.read_table(tmp_path / "clicks.parquet").to_pylist()
    answer = visit.context.request.get(started.value.url.replace("format=parquet", "format=json"))
    series = answer.json()["series"]
    assert sum(row["clicks"] for row in rows) == 3
    assert [(int(row["timestamp"].timestamp() * 1000), row["clicks"], row["unique_users"]) for row in rows] == [
        (parse_rfc3339(row["timestamp"]), row["clicks"], row["unique_users"]) for row in series
    ]


def test_the_page_of_a_hundred_thousand_ads_paints_its_numbers(visit: Visit) -> None:
    visit.system.click("ad_000003", "reader")
    visit.page.add_init_script(FIRST_PAINT)
    page = visit.open()
    painted = page.locator("html[data-painted-ms]")
    painted.wait_for()
    painted_ms = float(painted.get_attribute("data-painted-ms") or "nan")
    print(f"first paint with data: {painted_ms:.0f} ms after the navigation began, {ADS:,} ads")
    assert painted_ms > 0

"""The page over a real system: a click at the edge moves the number on the page."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, expect

from browser.conftest import TIMEOUT_MS, OpenVisit
from browser.system import KnownAd
from browser.visit import Visit, new_context
from support.embedded import Embedded, kill, wait_for

VISIBLE_MS_MAX = 60_000
RECOVERED_MS_MAX = 180_000
"""A start, and the page's longest pause between two tries."""
PATIENT = {"ADTALLY_EDGE__APPEND_TIMEOUT_MS": "60000"}
"""A disk that stalls for a second would leave a click unrecorded, of which the page says nothing."""
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
ADS = """ad_id,advertiser_id,landing_url,name
ad_shoes,acme,https://shop.example/shoes,Shoes
ad_hats,acme,https://shop.example/hats,Hats
ad_lamps,umbra,https://lamps.example/,Lamps
"""

pytestmark = [pytest.mark.browser, pytest.mark.system]


class RealSystem:
    """Implements System, seen with one of its keys."""

    def __init__(self, embedded: Embedded, key: str) -> None:
        self.url = embedded.api_url
        self.click_url = embedded.click_url
        self.key = key
        self.ads = [KnownAd("ad_shoes", "Shoes"), KnownAd("ad_hats", "Hats")]
        self._click_port = embedded.click_port

    def click(self, ad_id: str, user_id: str, user_agent: str = CHROME, more: str = "") -> None:
        edge = http.client.HTTPConnection("127.0.0.1", self._click_port, timeout=90)
        address = f"/click?ad_id={quote(ad_id)}&user_id={user_id}{more}"
        edge.request("GET", address, headers={"User-Agent": user_agent})
        answer = edge.getresponse()
        answer.read()
        edge.close()
        assert answer.status == 302
        assert answer.getheader("X-Click-Recorded") is None


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("page")
    embedded = Embedded(folder / "data", environment=PATIENT)
    (folder / "ads.csv").write_text(ADS)
    embedded.command("ads", "import", str(folder / "ads.csv"))
    embedded.start()
    yield embedded
    assert embedded.stop() == 0


@pytest.fixture
def system(embedded: Embedded) -> RealSystem:
    return RealSystem(embedded, (embedded.folder / "admin.key").read_text().strip())


@pytest.fixture
def visit(visits: OpenVisit) -> Visit:
    """One tab; it may ask for parts that a server does not have, and does without them."""
    return visits(refusals_expected=(404,))


def test_a_click_at_the_edge_moves_the_number_on_the_page_without_a_reload(system: RealSystem, visit: Visit) -> None:
    visit.system.click("ad_shoes", "first")
    page = visit.open("?ad=ad_shoes")
    expect(page.get_by_role("combobox", name="Ad")).to_have_value("Shoes")
    clicks = page.locator(".figure", has_text="Clicks").locator("dd").first
    users = page.locator(".figure", has_text="Unique users").locator("dd").first
    expect(clicks).to_have_text("1", timeout=VISIBLE_MS_MAX)
    assert visit.system.key not in page.url
    page.evaluate("window.notReloaded = true")
    # The same click twice: received, but no click. It is told by its impression, for a minute may end between the two.
    for _ in range(2):
        system.click("ad_shoes", "second", more="&impression_id=shown")
    expect(clicks).to_have_text("2", timeout=VISIBLE_MS_MAX)
    expect(users).to_have_text("2")
    panel = page.get_by_role("region", name="What became of every request")
    expect(panel).to_contain_text("3 received")
    assert page.evaluate("window.notReloaded") is True


def test_the_command_that_the_page_shows_makes_a_click_that_it_shows(system: RealSystem, visit: Visit) -> None:
    page = visit.open("?ad=ad_hats")
    address = f"{system.click_url}/click?ad_id=ad_hats&user_id=alice"
    expect(page.locator("pre")).to_have_text(f"curl -i -A Mozilla/5.0 '{address}'")
    system.click("ad_hats", "alice", "Mozilla/5.0")
    expect(page.get_by_role("slider")).to_be_visible(timeout=VISIBLE_MS_MAX)
    expect(page.locator(".figure", has_text="Clicks").locator("dd").first).to_have_text("1")


def test_the_printed_link_signs_in_once_and_stands_nowhere_else(embedded: Embedded, visit: Visit) -> None:
    (link,) = re.findall(r"http://\S+/sign-in\?token=\S+", embedded.log.read_text())
    token = link.partition("token=")[2]
    assert token not in (embedded.folder / "run.json").read_text()
    pids = [embedded.run_info()["supervisor_pid"], *embedded.run_info()["pids"].values()]
    assert token not in "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)
    visit.page.goto(link)
    expect(visit.page.get_by_role("combobox", name="Ad")).to_be_visible()
    assert "token" not in visit.page.url
    assert httpx.get(link, trust_env=False).status_code == 410


def test_the_link_is_dead_once_the_store_was_killed_and_the_page_says_what_to_do(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path / "data", environment=PATIENT)
    embedded.start()
    (link,) = re.findall(r"http://\S+/sign-in\?token=\S+", embedded.log.read_text())
    before = embedded.run_info()["pids"]["store"]
    kill(before)
    wait_for(lambda: embedded.run_info()["pids"]["store"] != before, 90, "the store is started again")
    answer = httpx.get(link, trust_env=False, timeout=90)
    assert embedded.stop() == 0
    assert (answer.status_code, "admin.key" in answer.text) == (410, True)


def test_a_system_that_was_killed_leaves_old_numbers_marked_and_needs_a_sign_in_but_no_reload(
    browser: Browser, tmp_path: Path
) -> None:
    embedded = Embedded(tmp_path / "data", environment=PATIENT)
    (tmp_path / "ads.csv").write_text(ADS)
    embedded.command("ads", "import", str(tmp_path / "ads.csv"))
    embedded.start()
    system = RealSystem(embedded, (embedded.folder / "admin.key").read_text().strip())
    context = new_context(browser)
    context.set_default_timeout(TIMEOUT_MS)
    visit = Visit(system, context, {401, 502, 503})
    system.click("ad_shoes", "first")
    page = visit.open("?ad=ad_shoes")
    clicks = page.locator(".figure", has_text="Clicks").locator("dd").first
    expect(clicks).to_have_text("1", timeout=VISIBLE_MS_MAX)
    page.evaluate("window.notReloaded = true")
    embedded.kill_all()
    expect(page.get_by_role("status")).to_contain_text("No new numbers")
    expect(page.get_by_text("Retrying, numbers as of")).to_be_visible()
    expect(clicks).to_have_text("1")
    embedded.start()
    expect(page.get_by_text("Sign in again")).to_be_visible(timeout=RECOVERED_MS_MAX)
    page.get_by_label("API key").fill(system.key)
    page.get_by_role("button", name="Sign in").click()
    expect(clicks).to_have_text("1", timeout=VISIBLE_MS_MAX)
    assert page.evaluate("window.notReloaded") is True
    context.close()
    assert embedded.stop() == 0
    assert [line for line in visit.problems() if "net::ERR_" not in line] == []


def test_an_advertisers_key_shows_its_own_ads_and_no_others(browser: Browser, embedded: Embedded) -> None:
    key = json.loads(embedded.command("keys", "create", "--advertiser", "acme", "--json"))["key"]
    context = new_context(browser)
    context.set_default_timeout(TIMEOUT_MS)
    visit = Visit(RealSystem(embedded, key), context, {400, 403, 404})
    page = visit.open("?ad=ad_lamps")
    expect(page.get_by_role("alert")).to_contain_text("No ad “ad_lamps”")
    page.get_by_role("combobox", name="Ad").click()
    expect(page.locator("#ad-list li")).to_have_count(2)
    assert sorted(option.split("\n")[0] for option in page.locator("#ad-list li").all_inner_texts()) == [
        "Hats",
        "Shoes",
    ]
    page.get_by_role("option", name="Shoes").click()
    expect(page.get_by_role("combobox", name="Ad")).to_have_value("Shoes")
    context.close()
    assert visit.problems() == []

from playwright.sync_api import expect

from adtally.clock import SYSTEM_CLOCK
from browser.conftest import OpenVisit
from browser.fake_api import FakeApi

RECOVERED_MS_MAX = 120_000
"""Tries grow rarer, up to one in 30 s."""


def test_a_503_keeps_the_numbers_says_so_and_ends_by_itself(fake: FakeApi, visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(503,))
    page = visit.open()
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    clicks = visit.figure("Clicks")
    fake.failing = 503
    expect(page.get_by_role("status")).to_contain_text("No new numbers: the store does not answer")
    expect(page.get_by_text("Retrying, numbers as of")).to_be_visible()
    assert visit.figure("Clicks") == clicks
    fake.failing = None
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    expect(page.get_by_role("status")).to_be_empty()


def test_a_server_that_is_gone_leaves_the_old_numbers_marked_and_its_return_needs_no_reload(
    fake: FakeApi, visits: OpenVisit
) -> None:
    visit = visits()
    page = visit.open()
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    clicks = visit.figure("Clicks")
    fake.stop()
    expect(page.get_by_role("status")).to_contain_text("no connection")
    expect(page.get_by_text("Retrying, numbers as of")).to_be_visible()
    assert visit.figure("Clicks") == clicks
    page.evaluate("window.notReloaded = true")
    fake.start_again()
    expect(page.get_by_text("Live, numbers as of")).to_be_visible(timeout=RECOVERED_MS_MAX)
    expect(page.get_by_role("status")).to_be_empty()
    assert page.evaluate("window.notReloaded") is True
    visit.complaints = [line for line in visit.complaints if "net::ERR_" not in line]


def test_retries_grow_rarer_while_the_server_fails(fake: FakeApi, visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(503,))
    page = visit.page
    page.clock.install()
    visit.open("?ad=ad_spring")
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    # From here on its time passes by what it is told alone, however long the machine takes.
    page.clock.pause_at(SYSTEM_CLOCK.now_ms() / 1000 + 60)
    fake.failing = 503
    before = fake.asked.count("/metrics")
    for _ in range(60):
        page.clock.run_for(1_000)
        # Lets what was asked be answered before the clock goes on.
        page.evaluate("fetch('/assets/favicon.svg').then(answer => answer.text())")
    # The page's clock runs away from the server's here, so each of about 7 tries asks twice.
    assert 3 <= fake.asked.count("/metrics") - before <= 18


def test_a_slow_answer_leaves_skeletons_and_then_nothing_has_jumped(fake: FakeApi, visits: OpenVisit) -> None:
    fake.holding = True
    visit = visits()
    page = visit.open("?ad=ad_spring")
    expect(page.locator(".chart.skeleton")).to_be_visible()
    places = (
        "[...document.querySelectorAll('.card, .totals, .toolbar')].slice(0, 3).map(e => e.getBoundingClientRect().top)"
    )
    before = page.evaluate(places)
    fake.holding = False
    expect(page.get_by_role("slider")).to_be_visible()
    assert page.evaluate(places) == before


def test_another_range_keeps_the_old_numbers_until_its_own_are_there(fake: FakeApi, visits: OpenVisit) -> None:
    visit = visits()
    page = visit.open("?ad=ad_spring")
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    clicks = visit.figure("Clicks")
    fake.holding = True
    page.keyboard.press("d")
    expect(page.locator(".activity-body.stale")).to_be_visible()
    assert visit.figure("Clicks") == clicks
    fake.holding = False
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuemax", "1439")
    expect(page.locator(".activity-body.stale")).to_have_count(0)

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import OpenVisit
from browser.visit import Visit

AXE: Final = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def findings(page: Page) -> list[str]:
    """Give what axe-core has to say about the page as it is now, one line for each element."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    result = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
    return [f"{found['id']}: {node['html']}" for found in result["violations"] for node in found["nodes"]]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(visits: OpenVisit, dark: bool) -> None:
    # The policy rightly refuses axe-core's script, so it is off here; every other test runs with it.
    visit = visits(dark=dark, bypass_csp=True)
    page = visit.open(signed_in=False)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter an API key")
    assert findings(page) == []
    visit.open()
    expect(page.get_by_role("slider")).to_be_visible()
    expect(page.get_by_text("received")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("button", name="Table").click()
    assert findings(page) == []
    page.get_by_role("combobox", name="Ad").click()
    assert findings(page) == []
    page.get_by_role("option", name=visit.system.ads[1].name).click()
    expect(page.locator("pre")).to_be_visible()
    assert findings(page) == []


def test_the_chart_is_read_with_the_arrow_keys(visit: Visit) -> None:
    page = visit.open("?range=15m")
    chart = page.get_by_role("slider")
    chart.focus()
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuenow", "1")
    page.keyboard.press("End")
    expect(chart).to_have_attribute("aria-valuenow", "14")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d\d: \d+ clicks, \d+ unique users$"))
    expect(page.locator(".legend")).to_contain_text("running")


def test_totals_are_announced_on_a_change_of_range_but_not_with_every_click(visit: Visit) -> None:
    page = visit.open()
    spoken = page.locator("main [aria-live=polite]")
    expect(spoken).to_contain_text("last hour")
    announced = spoken.inner_text()
    clicks = int(visit.figure("Clicks"))
    visit.system.click(visit.system.ads[0].ad_id, "newcomer")
    expect(page.locator(".figure", has_text="Clicks").locator("dd").first).to_have_text(str(clicks + 1))
    expect(spoken).to_have_text(announced)
    page.keyboard.press("q")
    expect(spoken).to_contain_text("last 15 minutes")


def test_everything_is_reached_by_the_tab_key_and_shows_its_focus(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("slider")).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    expect(page.get_by_role("button", name="spring-2026")).to_be_visible()
    expect(page.get_by_role("searchbox", name="Search in top ads")).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    seen: list[str] = []
    # A date field takes four stops.
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(e => e.getAttribute('aria-label') || e.id || e.textContent.trim())(document.activeElement)"
        )
        if not seen or seen[-1] != name:
            seen.append(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", name
    wanted = ["Clicks", "Operations", "Sign out", "ad", "Earlier range", "From", "To", "Granularity", "Time zone"]
    assert seen[: len(wanted)] == wanted
    assert [name.split()[0] for name in seen[len(wanted) :]][:13] == [
        *("15", "1", "6", "24", "TodayN", "YesterdayY", "7", "30", "MonthO", "12"),
        *("Chart", "Table", "Clicks"),
    ]
    assert "Search in top ads" in seen

"""Ranges, their neighbours, zones and granularities; live events; files."""

from datetime import datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from adtally.clock import SYSTEM_CLOCK
from browser.fake_api import FakeApi
from browser.visit import Visit

KOLKATA = ZoneInfo("Asia/Kolkata")


def series_query(address: str) -> dict[str, str]:
    """Give the parameters of a request for /v1/series, none of any other."""
    parts = urlsplit(address)
    return {name: values[0] for name, values in parse_qs(parts.query).items()} if parts.path == "/v1/series" else {}


def asked(page: Page, press: str) -> dict[str, str]:
    """Give what the page asks of /v1/series when a key is pressed that leads to other hours."""

    def hours(address: str) -> tuple[str, str] | None:
        # A range of minutes moves on by itself, and can begin where a day does.
        query = series_query(address)
        return (query["granularity"], query["start"]) if query.get("granularity") == "hour" else None

    with page.expect_request(lambda request: "start" in series_query(request.url)) as first:
        page.reload()
    # The request may still be the old document's; the new one hears keys before it has its first answer.
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    before = hours(first.value.url)
    with page.expect_request(lambda request: hours(request.url) not in (None, before)) as request:
        page.keyboard.press(press)
    return series_query(request.value.url)


def asks_during(page: Page, fake: FakeApi, clock_ms: int) -> int:
    """Give how often the page asks for its numbers while its clock goes on by `clock_ms`."""
    before = fake.asked.count("/v1/series")
    page.clock.run_for(clock_ms)
    # Lets what was asked arrive.
    page.evaluate("fetch('/assets/favicon.svg').then(answer => answer.text())")
    return fake.asked.count("/v1/series") - before


def test_days_begin_where_they_do_in_the_readers_zone(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("slider")).to_be_visible()
    days = [datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1000, KOLKATA).date()]
    query = asked(page, "n")
    start = datetime.fromisoformat(query["start"]).astimezone(KOLKATA)
    # One may have begun meanwhile.
    days.append(datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1000, KOLKATA).date())
    assert start.date() in days
    assert (start.hour, start.minute) == (0, 0)
    assert query["granularity"] == "hour"
    assert query["timezone"] in {"Asia/Kolkata", "Asia/Calcutta"}


def test_another_zone_moves_the_days_and_stays_in_the_address(visit: Visit) -> None:
    page = visit.open("?range=1h")
    page.get_by_label("Time zone").select_option("America/New_York")
    expect(page.locator(".activity .foot")).to_contain_text("Times in America/New_York")
    assert "zone=America%2FNew_York" in page.url
    query = asked(page, "y")
    start = datetime.fromisoformat(query["start"]).astimezone(ZoneInfo("America/New_York"))
    assert (start.hour, start.minute) == (0, 0)


def test_a_day_in_which_the_clock_changes_has_its_own_length(visit: Visit) -> None:
    page = visit.open("?range=custom&from=2026-03-28&to=2026-03-28&zone=Europe/Berlin")
    expect(page.get_by_label("From", exact=True)).to_have_value("2026-03-28")
    query = asked(page, "k")
    hours = (datetime.fromisoformat(query["end"]) - datetime.fromisoformat(query["start"])).total_seconds() / 3600
    assert query["start"] == "2026-03-28T23:00:00Z"
    assert hours == 23


@pytest.mark.parametrize(
    ("query", "key", "dates"),
    [
        ("from=2026-03-01&to=2026-03-31", "j", ("2026-02-01", "2026-02-28")),
        ("from=2026-02-01&to=2026-02-28", "k", ("2026-03-01", "2026-03-31")),
        ("from=2026-03-02&to=2026-03-08", "j", ("2026-02-23", "2026-03-01")),
        ("from=2025-01-01&to=2025-12-31", "j", ("2024-01-01", "2024-12-31")),
    ],
)
def test_the_neighbour_of_a_range_is_as_long_as_the_calendar_has_it(
    visit: Visit, query: str, key: str, dates: tuple[str, str]
) -> None:
    page = visit.open(f"?range=custom&{query}")
    expect(page.get_by_label("Earlier range")).to_be_enabled()
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    page.keyboard.press(key)
    expect(page.get_by_label("From", exact=True)).to_have_value(dates[0])
    expect(page.get_by_label("To", exact=True)).to_have_value(dates[1])


def test_two_dates_make_a_range_and_back_leaves_it(visit: Visit) -> None:
    page = visit.open("?range=7d")
    page.get_by_label("From", exact=True).fill("2026-01-05")
    expect(page.get_by_role("button", name="7 d")).to_have_attribute("aria-pressed", "false")
    page.get_by_label("To", exact=True).fill("2026-01-07")
    expect(page.get_by_role("heading", name="By hour")).to_be_visible()
    assert "from=2026-01-05&to=2026-01-07" in page.url
    page.go_back()
    page.go_back()
    expect(page.get_by_role("button", name="7 d")).to_have_attribute("aria-pressed", "true")


def test_the_later_arrow_ends_at_the_present(visit: Visit) -> None:
    page = visit.open("?range=1h")
    expect(page.get_by_label("Later range")).to_be_disabled()
    page.get_by_label("Earlier range").click()
    expect(page.get_by_label("Later range")).to_be_enabled()


def test_the_granularity_can_be_overridden_and_none_is_offered_that_the_api_would_refuse(visit: Visit) -> None:
    page = visit.open("?range=30d")
    grains = page.get_by_label("Granularity")
    expect(grains.locator("option")).to_have_text(["By day (auto)", "By hour", "By day", "By week", "By month"])
    grains.select_option("week")
    expect(page.get_by_role("heading", name="By week")).to_be_visible()
    assert "grain=week" in page.url


def test_a_period_is_compared_with_the_one_before(fake: FakeApi, visit: Visit) -> None:
    now_ms = SYSTEM_CLOCK.now_ms()
    for number in range(10):
        fake.click_at("ad_spring", f"earlier{number}", now_ms - 75 * 60_000)
    page = visit.open("?range=1h")
    expect(page.locator(".change").first).to_have_text("+100% on the period before")
    expect(page.locator(".legend")).to_contain_text("Clicks before")


def test_the_running_month_is_compared_up_to_its_end_so_that_whole_months_meet(visit: Visit) -> None:
    page = visit.page
    with page.expect_request(lambda request: "/v1/compare" in request.url) as request:
        visit.open("?range=month&zone=UTC")
    query = parse_qs(urlsplit(request.value.url).query)
    start, end = (datetime.fromisoformat(query[name][0]) for name in ("start", "end"))
    assert (start.day, end.day, (end.month - start.month) % 12) == (1, 1, 1)


def test_an_event_brings_new_numbers_and_without_one_nothing_is_asked(fake: FakeApi, visit: Visit) -> None:
    fake.live = True
    page = visit.page
    page.clock.install()
    visit.open("?range=24h")
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    clicks = int(visit.figure("Clicks"))
    # Polling asks each 2 s; who is told of changes makes sure each 15 s only. The first event may take a while.
    assert any(asks_during(page, fake, 5_000) == asks_during(page, fake, 5_000) == 0 for _ in range(100))
    fake.click("ad_spring", "newcomer")
    figure = page.locator(".figure", has_text="Clicks").locator("dd").first
    expect(figure).to_have_text(str(clicks + 1))


def test_without_events_the_page_polls(fake: FakeApi, visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    visit.open("?range=24h")
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    # Five times as often as one who is told of changes makes sure; a question may stay open over several of the steps.
    assert sum(asks_during(page, fake, 5_000) for _ in range(12)) > 5


def test_the_exported_file_holds_what_the_page_shows(fake: FakeApi, visit: Visit) -> None:
    page = visit.open("?range=15m&device=desktop")
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    clicks = visit.figure("Clicks")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = download.value.path().read_text().splitlines()[1:]
    assert len(rows) == 15
    assert sum(int(row.split(",")[1]) for row in rows) == int(clicks)

import pytest
from playwright.sync_api import expect

from browser.conftest import OpenVisit
from browser.fake_api import FakeApi
from browser.fake_clicks import FakeAd
from browser.visit import Visit


@pytest.mark.parametrize(
    ("letter", "name", "query"),
    [("q", "15 min", "range=15m"), ("d", "24 h", "range=24h"), ("y", "Yesterday", "range=yesterday")],
)
def test_a_letter_chooses_a_range(visit: Visit, letter: str, name: str, query: str) -> None:
    page = visit.open()
    expect(page.get_by_role("slider")).to_be_visible()
    page.keyboard.press(letter)
    expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    assert query in page.url
    page.keyboard.press("h")
    expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")


def test_the_chart_has_as_many_minutes_as_the_range(visit: Visit) -> None:
    page = visit.open("?range=15m")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuemax", "14")
    page.keyboard.press("d")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuemax", "1439")


def test_letters_do_nothing_in_a_field_nor_when_switched_off(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("slider")).to_be_visible()
    page.get_by_role("combobox", name="Ad").press_sequentially("qdt")
    page.keyboard.press("Escape")
    page.get_by_label("Letter keys").uncheck()
    page.keyboard.press("q")
    expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.get_by_label("Letter keys")).not_to_be_checked()
    page.keyboard.press("q")
    expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")


def test_back_undoes_range_view_and_ad_in_turn(visit: Visit) -> None:
    page = visit.open(f"?ad={visit.system.ads[0].ad_id}")
    picker = page.get_by_role("combobox", name="Ad")
    expect(picker).to_have_value(visit.system.ads[0].name)
    page.get_by_role("button", name="6 h").click()
    page.get_by_role("button", name="Table").click()
    picker.click()
    page.get_by_role("option", name=visit.system.ads[1].name).click()
    expect(picker).to_have_value(visit.system.ads[1].name)
    page.go_back()
    expect(picker).to_have_value(visit.system.ads[0].name)
    expect(page.locator(".activity table")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("slider")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")
    page.go_forward()
    expect(page.get_by_role("button", name="6 h")).to_have_attribute("aria-pressed", "true")


def test_an_address_brings_back_ad_range_and_view(visit: Visit) -> None:
    quiet = visit.system.ads[0]
    page = visit.open(f"?ad={quiet.ad_id}&range=15m&view=table")
    expect(page.get_by_role("combobox", name="Ad")).to_have_value(quiet.name)
    expect(page.locator(".activity tr")).to_have_count(16)


def test_the_table_shows_the_minutes_of_the_chart_newest_first(visit: Visit) -> None:
    page = visit.open("?range=15m")
    page.get_by_role("button", name="Table").click()
    expect(page.locator(".activity tbody tr").first).to_contain_text("running")
    shown = page.locator(".activity tbody tr td:nth-of-type(1)").all_inner_texts()
    assert sum(int(clicks) for clicks in shown) == int(visit.figure("Clicks"))


def test_the_picker_searches_by_name_and_id_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("slider")).to_be_visible()
    page.keyboard.press("/")
    picker = page.get_by_role("combobox", name="Ad")
    expect(picker).to_be_focused()
    page.keyboard.type(visit.system.ads[1].ad_id.upper())
    expect(page.locator("#ad-list li")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(picker).to_have_value(visit.system.ads[1].name)
    expect(picker).to_have_attribute("aria-expanded", "false")


def test_an_ad_beyond_the_loaded_pages_is_found_as_one_types(fake: FakeApi, visit: Visit) -> None:
    fake.clicks.ads += [FakeAd(f"ad_x{number:04}", f"Winter boots {number}") for number in range(350)]
    page = visit.open("?ad=ad_spring")
    picker = page.get_by_role("combobox", name="Ad")
    picker.click()
    picker.fill("boots 333")
    page.get_by_role("option", name="Winter boots 333").click()
    expect(picker).to_have_value("Winter boots 333")


@pytest.mark.parametrize("view", ["chart", "table"])
def test_a_phone_shows_everything_without_scrolling_sideways(visits: OpenVisit, view: str) -> None:
    visit = visits(phone=True)
    for width in (360, 320):
        visit.page.set_viewport_size({"width": width, "height": 740})
        for ad in visit.system.ads[:2]:
            page = visit.open(f"?ad={ad.ad_id}&view={view}")
            expect(page.get_by_text("Live, numbers as of")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width

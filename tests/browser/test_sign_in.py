from playwright.sync_api import expect

from browser.conftest import OpenVisit
from browser.fake_api import FakeApi
from browser.visit import Visit


def sign_in_by_form(visit: Visit, key: str) -> None:
    visit.page.get_by_label("API key").fill(key)
    visit.page.get_by_role("button", name="Sign in").click()


def test_the_form_signs_in_and_the_key_is_not_in_the_address(visit: Visit) -> None:
    page = visit.open(signed_in=False)
    expect(page.get_by_label("API key")).to_be_focused()
    sign_in_by_form(visit, f"  {visit.system.key} ")
    expect(page.get_by_role("combobox", name="Ad")).to_be_visible()
    assert visit.system.key not in page.url


def test_no_script_of_the_page_can_read_the_key_or_the_session(visit: Visit) -> None:
    page = visit.open(signed_in=False)
    sign_in_by_form(visit, visit.system.key)
    page.get_by_role("combobox", name="Ad").wait_for()
    (cookie,) = visit.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("adt_session", True, "Strict")
    kept = page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])")
    assert kept == '["",{},{}]'


def test_a_second_tab_is_signed_in_and_out_with_the_first(visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(401,))
    first = visit.open()
    second = visit.context.new_page()
    second.goto(visit.system.url)
    second.get_by_role("button", name="Sign out").click()
    expect(second.get_by_label("API key")).to_be_visible()
    expect(first.get_by_role("alert")).to_contain_text("Sign in again")


def test_a_reload_keeps_the_session_and_signing_out_ends_it(visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(401,))
    page = visit.open()
    page.get_by_role("combobox", name="Ad").wait_for()
    page.reload()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_wrong_key_is_refused_in_words(visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(401,))
    page = visit.open(signed_in=False)
    sign_in_by_form(visit, "adt_live_wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is not valid")
    sign_in_by_form(visit, visit.system.key)
    expect(page.get_by_role("combobox", name="Ad")).to_be_visible()


def test_a_key_that_is_revoked_while_the_page_is_open_leads_back_to_the_form(fake: FakeApi, visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(401,))
    page = visit.open()
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    fake.key = "adt_live_another"
    expect(page.get_by_role("alert")).to_contain_text("Sign in again")
    sign_in_by_form(visit, fake.key)
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()


def test_a_server_that_fails_is_not_mistaken_for_a_wrong_key(fake: FakeApi, visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(503,))
    page = visit.open(signed_in=False)
    fake.failing = 503
    sign_in_by_form(visit, fake.key)
    expect(page.get_by_role("alert")).to_contain_text("Try again")


def test_whoever_cannot_be_signed_out_is_told_so(fake: FakeApi, visits: OpenVisit) -> None:
    visit = visits(refusals_expected=(503, 401))
    page = visit.open()
    fake.failing = 503
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("alert")).to_contain_text("you may still be signed in")

"""A real Chromium, a system behind the page, and tabs that fail a test by what they saw."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS
from browser.fake_api import STATIC, FakeApi
from browser.system import System
from browser.visit import Visit, new_context

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

TIMEOUT_MS = 60_000
"""Of each step, and of what is expected of the page: nothing here says how fast a shared machine is."""

expect.set_options(timeout=TIMEOUT_MS)

OpenVisit = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("no chromium on PATH: `apt-get install chromium` (the page is tested in a real browser)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS, timeout=3 * TIMEOUT_MS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def fake_server() -> Iterator[FakeApi]:
    if not (STATIC / "index.html").exists():
        pytest.fail(f"{STATIC} does not hold the page: run `make web`")
    api = FakeApi()
    yield api
    api.stop()


@pytest.fixture
def fake(fake_server: FakeApi) -> FakeApi:
    """The stand-in, for tests in which the system fails."""
    fake_server.forget()
    now_ms = SYSTEM_CLOCK.now_ms()
    for number in range(20):
        fake_server.click_at("ad_spring", f"user{number % 15}", now_ms - (number % 10) * MINUTE_MS)
    fake_server.clicks.reject("ad_spring", "duplicate", 4)
    fake_server.clicks.reject("ad_spring", "bot", 1)
    # A test may have stopped it.
    fake_server.start()
    return fake_server


@pytest.fixture
def system(fake: FakeApi) -> System:
    """The system whose page is tested."""
    return fake


@pytest.fixture
def visits(browser: Browser, system: System) -> Iterator[OpenVisit]:
    """Opens tabs, each with a profile of its own, and afterwards looks at what they noted."""
    opened: list[Visit] = []

    def open_visit(
        *, dark: bool = False, phone: bool = False, bypass_csp: bool = False, refusals_expected: tuple[int, ...] = ()
    ) -> Visit:
        context = new_context(browser, dark=dark, phone=phone, bypass_csp=bypass_csp)
        context.set_default_timeout(TIMEOUT_MS)
        opened.append(Visit(system, context, set(refusals_expected)))
        return opened[-1]

    yield open_visit
    problems = [problem for visit in opened for problem in visit.problems()]
    for visit in opened:
        visit.context.close()
    assert problems == []


@pytest.fixture
def visit(visits: OpenVisit) -> Visit:
    """One tab on a desk."""
    return visits()

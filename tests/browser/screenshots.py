"""Makes the README's pictures of the page: `python -m browser.screenshots FOLDER`, with tests/ on the path.

The numbers are made up, but the same in each run, and shown by the page itself in the browser of the tests.
"""

import random
import shutil
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from adtally.clock import SYSTEM_CLOCK
from adtally.utc import HOUR_MS
from browser.conftest import CHROMIUM_ARGUMENTS
from browser.fake_api import FakeApi
from browser.visit import Visit, new_context

CLICKS: Final = 9_000
SPREAD_MS: Final = 48 * HOUR_MS
HEIGHT_PX_MAX: Final = 1_000


def main(folder: Path) -> None:
    """Write one PNG for each view."""
    folder.mkdir(parents=True, exist_ok=True)
    fake = _busy_api()
    fake.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        day = "?range=24h&grain=hour"
        _shoot(browser, fake, folder / "overview-light.png", day)
        _shoot(browser, fake, folder / "overview-dark.png", day + "&campaign=spring-2026", dark=True)
        _shoot(browser, fake, folder / "phone.png", day, phone=True)
        hour = fake.operator.lines()[-2]["hour"]
        _shoot(browser, fake, folder / "operations.png", f"?page=operations&hour={hour}")
        browser.close()
    fake.stop()


def _busy_api() -> FakeApi:
    fake = FakeApi()
    chance = random.Random(5)
    now_ms = SYSTEM_CLOCK.now_ms()
    for _ in range(CLICKS):
        coat = f"ad_{1 + min(39, int(chance.expovariate(0.3))):03}"
        ad_id = coat if chance.random() < 0.6 else "ad_spring"
        device = chance.choices(["mobile", "desktop", "tablet"], [6, 4, 1])[0]
        ago_ms = int(chance.random() ** 1.25 * SPREAD_MS)
        fake.click_at(ad_id, f"user{chance.randrange(4_000)}", now_ms - ago_ms, device)
    fake.clicks.reject("ad_spring", "duplicate", 310)
    fake.clicks.reject("ad_spring", "bot", 120)
    fake.clicks.final_through_ms = (now_ms // HOUR_MS - 1) * HOUR_MS
    return fake


def _shoot(
    browser: Browser, fake: FakeApi, target: Path, query: str, *, dark: bool = False, phone: bool = False
) -> None:
    context = new_context(browser, dark=dark, phone=phone)
    page = Visit(fake, context, set()).open(query)
    _wait(page)
    height = min(HEIGHT_PX_MAX, page.evaluate("document.documentElement.scrollHeight"))
    width = page.evaluate("innerWidth")
    page.screenshot(path=target, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})
    context.close()


def _wait(page: Page) -> None:
    """Wait until no skeleton is left and the browser has drawn what came."""
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    page.evaluate("document.fonts.ready")
    if page.get_by_role("slider").count():
        expect(page.locator(".change.up, .change.down").first).to_be_visible()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""How long the page takes, by the browser's own clock, from the navigation to what is drawn."""

import shutil
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from bench.system import System

TURNS = 5

_DRAWN = """() => {
  const figure = document.querySelector(".figure dd")?.textContent ?? "";
  return /[1-9]/.test(figure) && document.querySelector("canvas") ? performance.now() : 0;
}"""
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def page_loads(system: System, key: str, query: str) -> tuple[list[float], list[float]]:
    """Open the page a few times, each in a new profile; give ms to its first paint and to its numbers and chart."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("there is no chromium on PATH: install it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        loads = [_load(browser, system.run.api_url, key, query) for _ in range(TURNS)]
        browser.close()
    return [painted for painted, _ in loads], [drawn for _, drawn in loads]


def described(painted: list[float], drawn: list[float]) -> tuple[str, str]:
    """Give the medians and the runs in words."""
    runs = ", ".join(f"{one:.0f}" for one in drawn)
    return f"first paint {median(painted):.0f} ms, numbers and chart {median(drawn):.0f} ms", f"chart: {runs} ms"


def _load(browser: Browser, url: str, key: str, query: str) -> tuple[float, float]:
    # What the page is watched by is a script of ours, which its policy would refuse.
    context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    context.request.post(f"{url}/v1/session", data={"key": key}, headers={"X-Adtally-Page": "1"})
    page = context.new_page()
    page.goto(f"{url}/{query}", wait_until="commit")
    drawn = float(page.wait_for_function(_DRAWN, polling="raf", timeout=60_000).json_value())
    painted = float(page.evaluate(_PAINTED))
    context.close()
    return painted, drawn

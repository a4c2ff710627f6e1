"""A browser tab that watches itself: whatever leaves the host or breaks the policy is a failure of the test."""

from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from browser.system import System


class Visit:
    """One tab on a system's page. `refusals_expected` are the HTTP statuses that the browser may complain about."""

    def __init__(self, system: System, context: BrowserContext, refusals_expected: set[int]) -> None:
        self.system = system
        self.context = context
        self.page: Page = context.new_page()
        self.refusals_expected = refusals_expected
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def open(self, query: str = "", *, signed_in: bool = True) -> Page:
        """Open the page, with a session if `signed_in`."""
        if signed_in:
            self.sign_in()
        else:
            # The page asks who is signed in, and the browser notes the refusal.
            self.refusals_expected.add(401)
        self.page.goto(f"{self.system.url}/{query}")
        return self.page

    def sign_in(self) -> None:
        """Get this profile a session."""
        answer = self.context.request.post(
            f"{self.system.url}/v1/session", data={"key": self.system.key}, headers={"X-Adtally-Page": "1"}
        )
        assert answer.status == 204

    def figure(self, label: str) -> str:
        """Give the text of one of the large figures."""
        return self.page.locator(".figure", has_text=label).locator("dd").first.inner_text()

    def problems(self) -> list[str]:
        """Give everything that should not have happened in this tab."""
        host = urlsplit(self.system.url).netloc
        left = [url for url in self.requests if urlsplit(url).netloc != host]
        told = [url for url in self.requests if self.system.key in url]
        return self.complaints + [f"left the host: {url}" for url in left] + [f"key in address: {url}" for url in told]

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        refused = any(f"status of {status} " in message.text for status in self.refusals_expected)
        if message.type in {"error", "warning"} and not refused:
            self.complaints.append(f"console: {message.text}")


def new_context(
    browser: Browser, *, dark: bool = False, phone: bool = False, bypass_csp: bool = False
) -> BrowserContext:
    """Give a fresh profile with a fixed language and zone."""
    return browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport={"width": 360, "height": 740} if phone else {"width": 1280, "height": 900},
        is_mobile=phone,
        has_touch=phone,
        bypass_csp=bypass_csp,
        locale="en-GB",
        timezone_id="Asia/Kolkata",
        service_workers="block",
    )

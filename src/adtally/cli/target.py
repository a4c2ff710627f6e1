"""Which system a command talks to: the one that runs on `--data-dir`, or the one at `--url`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar

import click
import msgspec

from adtally.config import environment_value
from adtally.errors import AdtallyError, NotFoundError, StoreUnavailableError, UsageError
from adtally.folder import DataFolder

if TYPE_CHECKING:
    import httpx

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DEFAULT_DATA_DIR = Path("adtally-data")
SAID_MAX = 200
"""Characters of an answer that is no problem's description."""
RATE_LIMIT_WAITS_MAX = 30


class Where(TypedDict):
    """What `target_options` hands to a command, for `resolve`."""

    data_dir: Path
    url: str | None
    key: str | None


class Target(msgspec.Struct, frozen=True):
    """A data folder, and the address and key of the system if one was named or runs there."""

    folder: DataFolder
    api_url: str | None
    click_url: str | None
    key: str | None

    def client(self) -> "ApiClient":
        """Give a client for the running system. Raises UsageError where there is none."""
        if self.api_url is None:
            raise UsageError(
                f"nothing runs on {self.folder.root}: start `adtally up --data-dir {self.folder.root}`, "
                "or name another system with --url and --key"
            )
        return ApiClient(self.api_url, self.key)


class ApiClient:
    """Calls the API and turns its problem details into errors that a person can read."""

    def __init__(self, api_url: str, key: str | None, sleep: Callable[[float], None] = time.sleep) -> None:
        # Imported here: `adtally COMMAND --help` need not wait for it.
        import httpx

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # trust_env is off: a proxy of the environment has no business between a command and its own system.
        self._sleep = sleep
        self.http = httpx.Client(base_url=api_url, headers=headers, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def request(self, method: str, path: str, **arguments: Any) -> "httpx.Response":  # noqa: ANN401 - httpx's own
        """Send a request and give its successful answer. Raises AdtallyError with the problem's text.

        Where the API says that the key asks too often, as an export of millions of ads does, it waits as it is told.
        """
        import httpx

        for _ in range(RATE_LIMIT_WAITS_MAX):
            try:
                response = self.http.request(method, path, **arguments)
            except httpx.TransportError as error:
                raise StoreUnavailableError(f"{self.http.base_url} does not answer ({error}): is it running?") from None
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            self._sleep(float(response.headers.get("Retry-After", "1")))
        if response.is_success:
            return response
        detail = _problem_text(response)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(detail)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise AdtallyError(f"{detail} (give --key or set ADTALLY_KEY)")
        if response.status_code in (
            httpx.codes.BAD_GATEWAY,
            httpx.codes.SERVICE_UNAVAILABLE,
            httpx.codes.GATEWAY_TIMEOUT,
        ):
            # Of the API, or of a proxy before it that has no server now: who waits asks again.
            raise StoreUnavailableError(detail)
        raise AdtallyError(detail)

    def get(self, path: str, **params: str | int | None) -> Any:  # noqa: ANN401 - JSON
        """Give the JSON answer to a GET; parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return msgspec.json.decode(self.request("GET", path, params=given).content)

    def post(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Give the JSON answer to a POST of JSON."""
        content = msgspec.json.encode(body)
        answer = self.request("POST", path, content=content, headers={"Content-Type": "application/json"})
        return msgspec.json.decode(answer.content)


def _problem_text(response: "httpx.Response") -> str:
    try:
        problem = msgspec.json.decode(response.content)
        return str(problem.get("detail") or problem["title"])
    except (msgspec.MsgspecError, KeyError, AttributeError):
        answered = f"{response.request.method} {response.request.url} answered {response.status_code}"
        said = response.text.strip()
        plain = response.headers.get("Content-Type", "text/plain").startswith("text/plain")
        return f"{answered}: {said}" if plain and 0 < len(said) <= SAID_MAX and "\n" not in said else answered


def target_options(function: Decorated) -> Decorated:
    """Add --data-dir, --url and --key to a command; `resolve` makes a Target of them."""
    for option in (
        click.option("--key", help="API key (default: the folder's admin.key, or ADTALLY_KEY)."),
        click.option("--url", help="Address of the API of a system elsewhere (or ADTALLY_URL)."),
        click.option(
            "--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR"
        ),
    ):
        function = option(function)
    return function


def config_file_of(folder: DataFolder, given: Path | None) -> Path | None:
    """Give the configuration file of a folder: what --config says, else the folder's own if it has one."""
    if given is None and folder.config.exists():
        return folder.config
    return given


def resolve(data_dir: Path, url: str | None, key: str | None) -> Target:
    """Find the system: what flags say, else the environment, else what runs on the folder."""
    folder = DataFolder(data_dir)
    url = url or environment_value("URL")
    key = key or environment_value("KEY")
    if url is not None:
        return Target(folder, url, None, key)
    running = folder.running()
    if running is None:
        return Target(folder, None, None, key)
    if key is None and folder.admin_key.exists():
        key = folder.admin_key.read_text(encoding="ascii").strip()
    return Target(folder, running.api_url, running.click_url, key)

"""Statements over ClickHouse's HTTP interface: values written in as literals, rows as lists, errors of our own tree."""

import http.client
import re
import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from adtally.errors import ConfigError, StoreQueryError, StoreUnavailableError
from adtally.olap.clickhouse.literals import with_values
from adtally.olap.clickhouse_sql import Parameter

_CODE: Final = re.compile(r"Code: (\d+)")
_REFUSALS: Final = frozenset(
    {
        6, 8, 10, 15, 16, 20, 26, 27, 35, 36, 38, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 57, 60, 62, 63, 68,
        69, 70, 72, 73, 80, 81, 115, 117, 130, 184, 215, 386,
    }
)  # fmt: skip
"""Codes of defects of ours: syntax, unknown names, types. All others may pass: memory, disk, network, load."""
_WRONG_USER: Final = frozenset({192, 193, 194, 195, 516})


class Login(msgspec.Struct, frozen=True):
    """A server and who asks it. `url` is `http://host:port` or `https://host:port`."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:
        """Give it without the password."""
        return f"Login({self.url!r}, {self.user!r})"


class _Answer(msgspec.Struct):
    data: list[list[Any]]
    totals: list[Any] | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


class Connection:
    """Asks one server, with settings that go with every statement. Thread-safe: callers do not wait for each other.

    With `keep` connections stay open, and a statement whose connection turns out to be closed is sent again: for
    statements that may be repeated. Without, each statement has one of its own and is sent once. `ids` begins the ids
    that the server knows the statements by.
    """

    def __init__(
        self, login: Login, timeout_s: float, settings: Mapping[str, int], *, keep: bool = True, ids: str = ""
    ) -> None:
        parts = urlsplit(login.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ConfigError("olap.urls: a server's address is http://host:port, with nothing behind it")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = (parts.hostname, parts.port)
        self._login = login
        self._timeout_s = timeout_s
        self._settings = dict(settings)
        self._keep = keep
        self._ids = ids
        self._idle: deque[http.client.HTTPConnection] = deque()

    def run(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> list[list[Any]]:
        """Run a statement and give its rows, totals as the last. Raises StoreQueryError or StoreUnavailableError."""
        answer = self._ask({}, with_values(sql, parameters or {}).encode())
        if not answer.strip():
            return []
        try:
            found = _decode(answer)
        except msgspec.MsgspecError as error:
            raise StoreUnavailableError(f"{self._login.url} gave no answer of ClickHouse's: {error}") from error
        # Without rows there is nothing of which these could be totals, whatever stands there.
        return [*found.data, found.totals] if found.data and found.totals is not None else found.data

    def insert(self, target: str, lines: bytes) -> None:
        """Insert rows into a table (and columns), a JSON object in each line. Raises as `run`."""
        self._ask({"query": f"INSERT INTO {target} FORMAT JSONEachRow"}, lines)

    def close(self) -> None:
        """Close all connections; other threads must have finished."""
        while self._idle:
            self._idle.pop().close()

    def _ask(self, asked: Mapping[str, str], body: bytes) -> bytes:
        # The answer is sent when it is whole, so that an error in its middle is an error.
        url = {"wait_end_of_query": 1, "default_format": "JSONCompact", **self._settings, **asked}
        if self._ids:
            url["query_id"] = self._ids + secrets.token_hex(8)
        path = f"/?{urlencode(url)}"
        if self._keep and self._idle:
            try:
                return self._exchange(self._taken(), path, body)
            except (http.client.RemoteDisconnected, ConnectionError):
                # The server closed it meanwhile, and with it probably the others.
                self.close()
            except (OSError, http.client.HTTPException) as error:
                raise self._unavailable(error) from error
        try:
            return self._exchange(self._new(), path, body)
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error

    def _taken(self) -> http.client.HTTPConnection:
        try:
            return self._idle.pop()
        except IndexError:  # Another thread was faster.
            return self._new()

    def _new(self) -> http.client.HTTPConnection:
        host, port = self._address
        return self._kind(host, port, timeout=self._timeout_s)

    def _exchange(self, raw: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
        headers = {"X-ClickHouse-User": self._login.user, "X-ClickHouse-Key": self._login.password}
        kept = False
        try:
            raw.request("POST", path, body, headers)
            response = raw.getresponse()
            answer = response.read()
            kept = self._keep and not response.will_close
        finally:
            if kept:
                self._idle.append(raw)
            else:
                raw.close()
        if response.status != http.client.OK:
            raise self._translated(answer.decode(errors="replace").strip())
        return answer

    def _translated(self, text: str) -> StoreQueryError | StoreUnavailableError:
        found = _CODE.search(text)
        code = int(found[1]) if found else 0
        if code in _WRONG_USER:
            return StoreUnavailableError(
                f"{self._login.url} does not let the user {self._login.user!r} in: check olap.user and olap.password"
            )
        return (StoreQueryError if code in _REFUSALS else StoreUnavailableError)(f"{self._login.url}: {text}")

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        if isinstance(error, TimeoutError):
            return StoreUnavailableError(f"{self._login.url} did not answer within {self._timeout_s:g} s")
        return StoreUnavailableError(f"{self._login.url} does not answer ({error or type(error).__name__})")

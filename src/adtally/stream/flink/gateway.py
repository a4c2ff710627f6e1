"""Talks to Flink's SQL gateway (its REST API, version 1) and, for what that does not tell, to the job manager."""

import http.client
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from adtally.errors import FlinkError, FlinkRefusedError

TIMEOUT_S: Final = 60.0
LOOKS_MAX: Final = 600
RUNNING: Final = frozenset({"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING"})
"""States of a job that needs no submission."""


class Job(msgspec.Struct, frozen=True):
    """One job that the job manager knows."""

    jid: str
    name: str
    state: str
    start_time: int = msgspec.field(name="start-time")
    """Epoch milliseconds."""


class Completed(msgspec.Struct, frozen=True):
    """A checkpoint that can be restored."""

    external_path: str
    trigger_timestamp: int
    """Epoch milliseconds: nothing that was read later is in it."""


class _Overview(msgspec.Struct, frozen=True):
    jobs: list[Job]


class _Latest(msgspec.Struct, frozen=True):
    completed: Completed | None = None


class _Checkpoints(msgspec.Struct, frozen=True):
    latest: _Latest


class Session:
    """What a statement sees of those before it; closing it ends no job."""

    def __init__(self, gateway: "Gateway", handle: str) -> None:
        self._gateway = gateway
        self._path = f"/v1/sessions/{handle}"

    def execute(self, statement: str, wait: Callable[[], None]) -> list[list[Any]]:
        """Run one statement and give its rows; of an INSERT, the job's id. Raises FlinkError.

        `wait` is called between looks for the result, and waits a tenth of a second; the first job of a gateway can
        take half a minute to plan on a busy machine.
        """
        operation = self._gateway.call("POST", f"{self._path}/statements", {"statement": statement})["operationHandle"]
        for _ in range(LOOKS_MAX):
            result = self._gateway.call("GET", f"{self._path}/operations/{operation}/result/0")
            if result["resultType"] != "NOT_READY":
                return [row["fields"] for row in result["results"]["data"]]
            wait()
        raise FlinkError(f"Flink's SQL gateway has not finished a statement: {statement[:80]!r}")

    def properties(self) -> dict[str, str]:
        """Give the session's settings, those of Flink's own configuration among them. Raises FlinkError."""
        settings: dict[str, str] = self._gateway.call("GET", self._path)["properties"]
        return settings

    def close(self) -> None:
        """Forget the session's tables and views. Raises FlinkError."""
        self._gateway.call("DELETE", self._path)


class Gateway:
    """Flink's SQL gateway at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def session(self, properties: dict[str, str]) -> Session:
        """Open a session with settings of Flink. Raises FlinkError."""
        return Session(self, self.call("POST", "/v1/sessions", {"properties": properties})["sessionHandle"])

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON of another program
        """Give the answer's JSON. Raises FlinkError."""
        return msgspec.json.decode(_call(self._url, method, path, body))


class JobManager:
    """Flink's job manager at a URL: which jobs run, and what they checkpointed."""

    def __init__(self, url: str) -> None:
        self._url = url

    def jobs(self, name: str) -> list[Job]:
        """Give the jobs of a name, ended ones too, the newest first. Raises FlinkError."""
        jobs = self._get("/jobs/overview", _Overview).jobs
        return sorted((job for job in jobs if job.name == name), key=lambda job: job.start_time, reverse=True)

    def completed(self, jid: str) -> Completed | None:
        """Give a job's last completed checkpoint, None before the first. Raises FlinkError."""
        checkpoints: _Checkpoints = self._get(f"/jobs/{jid}/checkpoints", _Checkpoints)
        return checkpoints.latest.completed

    def cancel(self, jid: str) -> None:
        """End a job; its checkpoints stay. Raises FlinkError."""
        _call(self._url, "PATCH", f"/jobs/{jid}?mode=cancel", None)

    def _get(self, path: str, kind: type[Any]) -> Any:  # noqa: ANN401 - of `kind`
        return msgspec.json.decode(_call(self._url, "GET", path, None), type=kind)


def _call(url: str, method: str, path: str, body: object) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        data = None if body is None else msgspec.json.encode(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise FlinkError(f"Flink does not answer at {url}: {error!r}") from error
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        raise FlinkRefusedError(f"Flink refused {method} {path}: {response.status} {_reason(answer)}")
    return answer


def _reason(answer: bytes) -> str:
    """Give the innermost cause out of what is a whole stack of Java."""
    text = answer.decode(errors="replace").replace("\\n", "\n").replace("\\t", " ")
    causes = [line for line in text.split("\n") if "Exception: " in line or "Error: " in line]
    return (causes[-1] if causes else text)[:500]

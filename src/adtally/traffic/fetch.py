"""Asks a running system over its API for what the load and the comparison need."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from adtally.clock import Clock
from adtally.counting import MINUTE_MS
from adtally.errors import StoreUnavailableError
from adtally.serve.values import parse_instant, rfc3339
from adtally.traffic.verify import Cell, Expectation, Quality, Verification, compare

POLL_S: Final = 0.2
PAGE_ADS: Final = 1_000
SERIES_MINUTES: Final = 5
"""Of one answer: with an entry for each ad and minute it is large enough."""


class Api(Protocol):
    """A client of the API with an admin's key (`cli.target.ApiClient` is one)."""

    def get(self, path: str, **params: str | int | None) -> Any:  # noqa: ANN401 - JSON
        """Give the JSON answer to a GET. Raises AdtallyError."""
        ...


def verify(
    api: Api,
    expectation: Expectation,
    wait_s: float,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Verification, bool]:
    """Compare a truth's expectation with the running system's numbers.

    Waits up to `wait_s` seconds for the numbers to pass the last event; the second value tells whether they did.
    Raises AdtallyError if the system does not answer.
    """
    current = wait_until_complete(api, expectation.last_ms, wait_s, clock, sleep)
    counted = counted_cells(api, expectation.start_ms, expectation.end_ms)
    return compare(expectation, counted, quality(api, expectation.start_ms, expectation.end_ms)), current


def wait_until_complete(
    api: Api, ts_ms: int, wait_s: float, clock: Clock, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Wait until the system's numbers hold every event up to `ts_ms`; False if they do not after `wait_s` seconds."""
    deadline_s = clock.monotonic_s() + wait_s
    while _as_of_ms(api) <= ts_ms:
        if clock.monotonic_s() >= deadline_s:
            return False
        sleep(POLL_S)
    return True


def counted_cells(api: Api, start_ms: int, end_ms: int) -> dict[Cell, int]:
    """Give the clicks by ad and minute of a range of whole minutes."""
    cells: dict[Cell, int] = {}
    for begin_ms in range(start_ms, end_ms, SERIES_MINUTES * MINUTE_MS):
        for point in _series(api, begin_ms, min(begin_ms + SERIES_MINUTES * MINUTE_MS, end_ms))["series"]:
            if point["clicks"]:
                cells[point["ad_id"], parse_instant(point["timestamp"])] = point["clicks"]
    return cells


def quality(api: Api, start_ms: int, end_ms: int) -> Quality:
    """Give what became of all events of a range of whole minutes."""
    answer = api.get("/v1/quality", start=rfc3339(start_ms), end=rfc3339(end_ms))
    return Quality(
        received=answer["received"],
        counted=answer["counted"],
        duplicate=answer["duplicate"],
        invalid=sum(answer["invalid"].values()),
    )


def active_ads(api: Api, number_max: int | None) -> list[str]:
    """Give the ids of active ads by id, at most `number_max`."""
    found: list[str] = []
    after: str | None = None
    while number_max is None or len(found) < number_max:
        page = api.get("/v1/ads", limit=PAGE_ADS, after=after)
        found += [ad["ad_id"] for ad in page["ads"] if ad["status"] == "active"]
        after = page["next"]
        if after is None:
            break
    return found[:number_max]


def _as_of_ms(api: Api) -> int:
    """Give the time up to which the numbers are complete, 0 where that is not known now."""
    try:
        as_of = api.get("/v1/status")["as_of"]
    except StoreUnavailableError:
        return 0
    return 0 if as_of is None else parse_instant(as_of)


def _series(api: Api, start_ms: int, end_ms: int) -> Any:  # noqa: ANN401 - JSON
    return api.get("/v1/series", start=rfc3339(start_ms), end=rfc3339(end_ms), granularity="minute", group_by="ad_id")

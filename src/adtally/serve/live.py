"""GET /v1/live: the last minutes as server-sent events (HTML standard, section 9.2)."""

from typing import Final

import msgspec

from adtally.counting import MINUTE_MS
from adtally.serve.caller import Call
from adtally.serve.endpoint import Following, NoBody
from adtally.serve.finality import Status
from adtally.serve.ranges import AdId, AdvertiserId
from adtally.serve.reading import read_ledger_at
from adtally.serve.scope import Filters, Scope, scope_of
from adtally.serve.services import Services
from adtally.serve.standing import LedgerWatch
from adtally.serve.values import rfc3339

MINUTES: Final = 15


class LiveParams(msgspec.Struct, frozen=True):
    """What is followed: an ad, an advertiser, or all that the key sees."""

    ad_id: AdId | None = None
    advertiser_id: AdvertiserId | None = None


class LiveMinute(msgspec.Struct, frozen=True):
    """One minute, the one that runs included."""

    timestamp: str
    clicks: int
    unique_users: int
    status: Status


class LiveMinutes(msgspec.Struct, frozen=True):
    """The data of one event: first the last 15 minutes, then those of them that have changed since."""

    as_of: str | None
    minutes: list[LiveMinute]


class Snapshot(msgspec.Struct, frozen=True):
    """The last minutes at one moment, oldest first, by their starts in epoch milliseconds."""

    as_of_ms: int | None
    minutes: dict[int, LiveMinute]


def get_live(call: Call[LiveParams, NoBody]) -> Following:
    """Answer GET /v1/live: what is to be followed, if the caller may."""
    asked = call.params
    return Following(scope_of(call, Filters(ad_id=asked.ad_id, advertiser_id=asked.advertiser_id)))


def read_minutes(services: Services, watch: LedgerWatch, scope: Scope) -> Snapshot:
    """Give the last MINUTES minutes. Blocks. Raises StoreUnavailableError."""
    now_ms = services.clock.now_ms()
    as_of_ms = services.progress.as_of_ms
    reading = read_ledger_at(services, watch, now_ms)
    end_ms = now_ms - now_ms % MINUTE_MS + MINUTE_MS
    edges_ms = tuple(range(end_ms - MINUTES * MINUTE_MS, end_ms + 1, MINUTE_MS))
    rows = services.reader.aggregate(scope.counted(edges_ms, reading.sources(edges_ms), ("bucket",)))
    cells = {row.group[0]: row for row in rows}
    minutes = {}
    for index, (begin_ms, said) in enumerate(zip(edges_ms[:-1], reading.of_buckets(edges_ms), strict=True)):
        clicks, users = (cells[index].clicks, cells[index].users) if index in cells else (0, 0)
        minutes[begin_ms] = LiveMinute(rfc3339(begin_ms), clicks, users, said.status)
    return Snapshot(as_of_ms, minutes)


def seen_by(snapshot: Snapshot, last_event_ms: int) -> dict[int, LiveMinute]:
    """Give the minutes that somebody has who was sent an event whose id is `last_event_ms`, an earlier as_of.

    What was counted by then does not change, but that it becomes final.
    """
    if snapshot.as_of_ms is None or last_event_ms > snapshot.as_of_ms:
        return {}
    return {
        begin_ms: minute
        for begin_ms, minute in snapshot.minutes.items()
        if begin_ms + MINUTE_MS <= last_event_ms and minute.status == "provisional"
    }


def event_of(snapshot: Snapshot, seen: dict[int, LiveMinute]) -> bytes | None:
    """Give the event that tells of what differs from `seen`, None if nothing does."""
    changed = [minute for begin_ms, minute in snapshot.minutes.items() if seen.get(begin_ms) != minute]
    if not changed:
        return None
    as_of_ms = snapshot.as_of_ms
    data = msgspec.json.encode(LiveMinutes(None if as_of_ms is None else rfc3339(as_of_ms), changed))
    event_id = b"" if as_of_ms is None else b"id: %d\n" % as_of_ms
    return b"event: minutes\n" + event_id + b"data: " + data + b"\n\n"

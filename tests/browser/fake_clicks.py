"""The clicks that the stand-in for the API knows, and the questions that it answers about them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from adtally.buckets import Granularity, buckets
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import minute_of

GROUPS: Final = {"ads": "ad_id", "campaigns": "campaign_id", "devices": "device", "advertisers": "advertiser_id"}


class FakeAd(msgspec.Struct, frozen=True):
    """An ad that the stand-in knows."""

    ad_id: str
    name: str
    campaign_id: str = "spring-2026"
    advertiser_id: str = "acme"


class Click(msgspec.Struct, frozen=True):
    """One counted click."""

    ad_id: str
    campaign_id: str
    advertiser_id: str
    device: str
    minute_ms: int
    user_id: str


def iso(ms: int) -> str:
    """Give a time as the API writes it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def epoch_ms(text: str) -> int:
    """Give the time that the page asked for."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


class FakeClicks:
    """Counts in memory, by the words of the API's contract."""

    def __init__(self, ads: list[FakeAd]) -> None:
        self.ads = ads
        self.final_through_ms: int | None = None
        self._clicks: list[Click] = []
        self._rejected: Counter[tuple[str, str]] = Counter()

    def click_at(self, ad_id: str, user_id: str, ts_ms: int, device: str) -> None:
        """Count one click in the minute of `ts_ms`."""
        ad = next(ad for ad in self.ads if ad.ad_id == ad_id)
        click = Click(ad_id, ad.campaign_id, ad.advertiser_id, device, minute_of(ts_ms), user_id)
        self._clicks.append(click)

    def reject(self, ad_id: str, outcome: str, times: int) -> None:
        """Note requests that did not become clicks."""
        self._rejected[ad_id, outcome] += times

    def size(self) -> int:
        """Give how many clicks there are."""
        return len(self._clicks)

    def found(self, query: Mapping[str, str], start_ms: int, end_ms: int) -> list[Click]:
        """Give the clicks of a range that the query's filters let through."""
        wanted = {name: query[name].split(",") for name in GROUPS.values() if name in query}
        return [
            click
            for click in self._clicks
            if start_ms <= click.minute_ms < end_ms
            and all(getattr(click, name) in values for name, values in wanted.items())
        ]

    def series(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Give the buckets of a range, up to now, with zeros."""
        start_ms, end_ms = epoch_ms(query["start"]), epoch_ms(query["end"])
        grain: Granularity = msgspec.convert(query["granularity"], Granularity)
        zone = ZoneInfo(query.get("timezone", "UTC"))
        spread = buckets(start_ms, end_ms, grain, zone, SYSTEM_CLOCK.now_ms())
        rows = []
        for at_ms, (from_ms, to_ms) in zip(
            spread.starts_ms, zip(spread.edges_ms, spread.edges_ms[1:], strict=False), strict=True
        ):
            final = self.final_through_ms is not None and to_ms <= self.final_through_ms
            state = {"status": "final", "revision": 1} if final else {"status": "provisional", "revision": 0}
            rows.append({"timestamp": iso(at_ms)} | state | totals(self.found(query, from_ms, to_ms)))
        return rows

    def numbers(self, query: Mapping[str, str], name: str) -> dict[str, Any]:
        """Give what /metrics and /v1/series answer; `name` is that of the list of buckets."""
        everyone = self.found(query, epoch_ms(query["start"]), epoch_ms(query["end"]))
        through = None if self.final_through_ms is None else iso(self.final_through_ms)
        stamps = {"as_of": iso(SYSTEM_CLOCK.now_ms() - 400), "final_through": through}
        return {name: self.series(query), "totals": totals(everyone)} | stamps

    def top(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Give what has the most clicks."""
        field = GROUPS[query["of"]]
        groups: dict[str, list[Click]] = defaultdict(list)
        for click in self.found(query, epoch_ms(query["start"]), epoch_ms(query["end"])):
            groups[getattr(click, field)].append(click)
        ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        return [{field: name} | totals(clicks) for name, clicks in ordered[: int(query["limit"])]]

    def quality(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Give what became of every request."""
        counted = len(self.found(query, epoch_ms(query["start"]), epoch_ms(query["end"])))
        rejected: Counter[str] = Counter()
        for (ad_id, outcome), times in self._rejected.items():
            if query.get("ad_id", ad_id) == ad_id:
                rejected[outcome] += times
        duplicate = rejected.pop("duplicate", 0)
        received = counted + duplicate + sum(rejected.values())
        return {"received": received, "counted": counted, "duplicate": duplicate, "invalid": dict(rejected)}

    def compare(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Give a range beside the one before it, of which equally much has elapsed."""
        start_ms, end_ms = epoch_ms(query["start"]), epoch_ms(query["end"])
        end_ms = min(end_ms, SYSTEM_CLOCK.now_ms())
        back_ms = epoch_ms(query["end"]) - start_ms
        now = totals(self.found(query, start_ms, end_ms))
        before = totals(self.found(query, start_ms - back_ms, end_ms - back_ms))
        change = {name: (now[name] / before[name] - 1 if before[name] else None) for name in now}
        earlier = dict(query) | {"start": iso(start_ms - back_ms), "end": iso(start_ms)}
        rows = [
            row | {f"previous_{name}": old[name] for name in ("clicks", "unique_users", "timestamp")}
            for row, old in zip(self.series(query), self.series(earlier), strict=False)
        ]
        times = {"start": iso(start_ms), "end": iso(end_ms)}
        past = {"start": iso(start_ms - back_ms), "end": iso(end_ms - back_ms)}
        return {"current": times | now, "previous": past | before, "change": change, "series": rows}


def totals(clicks: list[Click]) -> dict[str, int]:
    """Give clicks and unique users of some clicks."""
    return {"clicks": len(clicks), "unique_users": len({click.user_id for click in clicks})}

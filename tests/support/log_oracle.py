"""Holds what was sent against a running system's log, and its API's numbers against a count of the log."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from adtally.counting import DEDUP_WINDOW_MS, LATENESS_MS
from adtally.event import Event, decode_event_lines
from adtally.eventlog.port import BEGINNING, Record
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.traffic.truth import TruthFile
from support.counts import expected_counts
from support.embedded import Embedded, wait_for

Appended = list[tuple[int, Event]]
"""Events with the time of their append."""

FOREVER_MS = 1 << 60
COMPLETE_S_MAX = 180.0
PROBE = "probe"
"""The user of a test's own requests, which stand in no truth and are no clicks."""


class Comparison(msgspec.Struct, frozen=True):
    """What was sent, and what became of it."""

    sent: int
    acknowledged: int
    unrecorded: int
    """Sent on with the header that says so."""
    unanswered: int
    in_log: int
    counted: int

    def lines(self) -> list[str]:
        return [
            f"sent {self.sent}, acknowledged {self.acknowledged}",
            f"sent on unrecorded {self.unrecorded}, unanswered {self.unanswered}",
            f"in the log {self.in_log}, counted {self.counted}",
            "acknowledged and lost 0, doubled 0",
        ]


def undamaged(record: Record) -> None:
    assert record.kind != "damaged", record.reason


def read_log(folder: Path, meets: Callable[[Record], None] = undamaged) -> Appended:
    """Give all events of a log; `meets` is shown each record."""
    reader = SqliteLogReader(folder / "log", "oracle")
    appended: Appended = []
    for partition in reader.partitions():
        start = BEGINNING
        while records := reader.read(partition, start, 1 << 24):
            start = records[-1].next
            for record in records:
                meets(record)
                if record.kind == "events":
                    appended += [(record.appended_ms, event) for event in decode_event_lines(record.payload)]
    reader.close()
    return appended


def compare_with_log(
    system: Embedded, truths: list[Path], ads: int, status: str = "", *, at_most: bool = False, by_ad: bool = False
) -> Comparison:
    """Fail where an acknowledged click is not in the log, the log invents one, or a number is not what follows from it.

    With a status, `final` or `provisional`, all numbers must have it; late events are in none but final ones. Where
    they are `at_most` right, some may be lower: so they are not waited for, as those of a time to come cannot be.
    `by_ad` leaves open in which minute a click is counted: where a clock went back, of a click and its duplicate the
    later one is read first.
    """
    appended = read_log(system.folder)
    in_log = Counter((event.edge_id, event.seq) for _, event in appended)
    assert max(in_log.values(), default=1) == 1, "an event is in the log twice"
    sent = Counter[tuple[str, str, str | None]]()
    acknowledged, unanswered, unrecorded = set(), 0, 0
    for line in (line for truth in truths for line in TruthFile(truth)):
        sent[line.ad_id, line.user_id, line.impression_id] += 1
        ref = line.event_ref() if line.recorded else None
        if ref is not None:
            acknowledged.add((ref.edge_id, ref.seq))
        unanswered += line.status is None
        unrecorded += line.status is not None and not line.recorded
    lost = acknowledged - set(in_log)
    assert not lost, f"{len(lost)} acknowledged events are not in the log, such as {sorted(lost)[:3]}"
    kept = Counter((event.ad_id, event.user_id, event.impression_id) for _, event in appended if event.user_id != PROBE)
    assert not kept - sent, "the log holds events that nobody sent"
    counted = compare_numbers(system, appended, ads, status, at_most=at_most, by_ad=by_ad)
    return Comparison(sent.total(), len(acknowledged), unrecorded, unanswered, len(appended), counted)


def compare_numbers(
    system: Embedded, appended: Appended, ads: int, status: str = "", *, at_most: bool = False, by_ad: bool = False
) -> int:
    """Hold the API's numbers of every minute against a count of these events; give the clicks."""
    lateness_ms = FOREVER_MS if status == "final" else LATENESS_MS
    expected = expected_counts(appended, DEDUP_WINDOW_MS, lateness_ms)
    clicks: Counter[tuple[str, int]] = Counter()
    users: dict[tuple[str, int], set[str]] = {}
    for (_, _, ad_id, minute_s, _, outcome), (number, who) in expected.items():
        if outcome == "counted":
            clicks[ad_id, minute_s] += number
            users.setdefault((ad_id, minute_s), set()).update(who)
    last_s = max(event.ts_ms for _, event in appended) / 1000
    if not at_most:
        wait_for(lambda: as_of_s(system) > last_s, COMPLETE_S_MAX, "numbers are complete")
    end_s = max(minute_s for _, minute_s in clicks) + 60
    start_s = min(minute_s for _, minute_s in clicks)
    found, found_users = minutes(system, start_s, end_s, ads, status)
    if by_ad:
        found, clicks, users = of_whole_ads(found), of_whole_ads(clicks), {}
    wrong = {cell: (found[cell], clicks[cell]) for cell in found | clicks if found[cell] != clicks[cell]}
    if at_most:
        wrong = {cell: (here, there) for cell, (here, there) in wrong.items() if here > there}
    assert not wrong, f"of {clicks.total()} clicks these are found, and counted in the log: {wrong}"
    for cell, seen in ({} if at_most else users).items():
        # 32-bit hashes of the sketch: within its standard error, and exact but for a rare collision.
        assert abs(found_users[cell] - len(seen)) <= max(1, 0.0033 * 3 * len(seen)), cell
    return clicks.total()


def of_whole_ads(clicks: Counter[tuple[str, int]]) -> Counter[tuple[str, int]]:
    whole = Counter[tuple[str, int]]()
    for (ad_id, _), number in clicks.items():
        whole[ad_id, 0] += number
    return whole


def minutes(
    system: Embedded, start_s: int, end_s: int, ads: int, status: str = ""
) -> tuple[Counter[tuple[str, int]], dict[tuple[str, int], int]]:
    """Give /metrics of every ad, minute by minute."""
    clicks: Counter[tuple[str, int]] = Counter()
    users: dict[tuple[str, int], int] = {}
    for n in range(ads):
        answer = system.api("/metrics", ad_id=f"ad_{n}", start=str(start_s), end=str(end_s), granularity="minute")
        for row in answer["metrics"]:
            minute_s = int(datetime.fromisoformat(row["timestamp"]).timestamp())
            if row["clicks"]:
                assert row["status"] == status or not status, row
                clicks[f"ad_{n}", minute_s] = row["clicks"]
                users[f"ad_{n}", minute_s] = row["unique_users"]
    return clicks, users


def as_of_s(system: Embedded) -> float:
    report = system.api("/v1/status")
    return report["stream"]["as_of_ms"] / 1000 if report["stream"] else 0.0

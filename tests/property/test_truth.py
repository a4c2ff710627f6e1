"""The oracle over truth files: whatever really happened passes, and one click more, fewer or elsewhere does not."""

from collections import Counter
from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adtally.counting import DEDUP_WINDOW_MS, MINUTE_MS, click_key, minute_of
from adtally.event import Event
from adtally.traffic.oracle import LINGER_MS, Bounds, GroupBounds, Sighting, group_bounds
from adtally.traffic.plan import PERSONAL, Kind
from adtally.traffic.truth import TruthLine
from adtally.traffic.verify import Quality, compare, expect

BEGIN_MS = 1_795_478_400_000
KINDS: tuple[Kind, ...] = ("click", "double", "retry", "bot", "head", "prefetch")


def really_counted(events: list[Event]) -> dict[tuple[str, int], int]:
    """The counting rule as the design words it, over the whole list in its order."""
    ordered = sorted((event for event in events if event.verdict == "ok"), key=lambda e: (e.ts_ms, e.edge_id, e.seq))
    cells: Counter[tuple[str, int]] = Counter()
    for place, event in enumerate(ordered):
        key = click_key(event.ad_id, event.user_id, event.impression_id, event.ts_ms)
        earlier = [
            other.ts_ms
            for other in ordered[:place]
            if click_key(other.ad_id, other.user_id, other.impression_id, other.ts_ms) == key
        ]
        if not any(event.ts_ms - ts_ms < DEDUP_WINDOW_MS for ts_ms in earlier):
            cells[event.ad_id, minute_of(event.ts_ms)] += 1
    return dict(cells)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(KINDS))
    # Whole seconds and their neighbours: distances of exactly a minute or a window have to happen.
    ts_ms = BEGIN_MS + 1_000 * draw(st.integers(0, 900)) + draw(st.sampled_from((-1, 0, 1)))
    return Event(
        edge_id=draw(st.sampled_from(("e1", "e2"))),
        seq=draw(st.integers(1, 1_000_000)),
        ts_ms=ts_ms,
        ad_id=draw(st.sampled_from(("ad_1", "ad_2"))),
        campaign_id="",
        advertiser_id="",
        user_id=draw(st.sampled_from(("anna", "ben"))),
        impression_id=draw(st.sampled_from((None, "i1", "i2"))),
        device=kind,
        verdict="ok" if kind in PERSONAL else kind,
        ip_prefix="",
        user_agent="",
    )


def line_of(event: Event, answered: bool, delay_ms: int = 0, unrecorded: bool = False) -> TruthLine:
    return TruthLine(
        kind=event.device,  # type: ignore[arg-type]
        ad_id=event.ad_id,
        user_id=event.user_id,
        impression_id=event.impression_id,
        intended_ms=event.ts_ms - 2 * delay_ms,
        sent_ms=event.ts_ms - delay_ms,
        ended_ms=event.ts_ms + delay_ms,
        status=302 if answered else None,
        recorded=answered and not unrecorded,
        event=f"{event.edge_id}.{event.seq}.{event.ts_ms}" if answered else None,
    )


def quality_of(recorded: list[Event], cells: dict[tuple[str, int], int]) -> Quality:
    counted = sum(cells.values())
    ok = sum(event.verdict == "ok" for event in recorded)
    return Quality(len(recorded), counted, ok - counted, len(recorded) - ok)


@given(
    st.lists(
        st.tuples(
            events(),
            st.sampled_from(("answered", "unrecorded", "lost")),
            st.booleans(),
            st.integers(0, 90_000),
        ),
        max_size=12,
    )
)
@settings(max_examples=300, deadline=None)
def test_whatever_was_recorded_of_the_unanswered_attempts_agrees(
    attempts: list[tuple[Event, str, bool, int]],
) -> None:
    recorded = [event for event, fate, there, _ in attempts if fate == "answered" or there]
    truth = [line_of(event, fate != "lost", delay, fate == "unrecorded") for event, fate, _, delay in attempts]
    cells = really_counted(recorded)
    result = compare(expect(truth), cells, quality_of(recorded, cells))
    assert result.differences == ()
    assert (result.lost, result.doubled) == (0, 0)


@given(st.lists(events(), min_size=1, max_size=15), st.sampled_from(("removed", "added", "moved")), st.data())
@settings(max_examples=200, deadline=None)
def test_one_click_removed_added_or_moved_is_a_difference_where_all_was_answered(
    history: list[Event], change: str, data: st.DataObject
) -> None:
    cells = really_counted(history)
    assume(cells)
    truth = [line_of(event, True, 5) for event in history]
    assert compare(expect(truth), cells).agrees

    wrong = Counter(cells)
    cell = data.draw(st.sampled_from(sorted(cells)))
    if change in {"removed", "moved"}:
        wrong[cell] -= 1
    if change in {"added", "moved"}:
        other = (cell[0], cell[1] + MINUTE_MS * data.draw(st.integers(1, 20)))
        wrong[cell if change == "added" else other] += 1
    result = compare(expect(truth), wrong)
    assert not result.agrees
    assert result.lost == int(change in {"removed", "moved"})
    assert result.doubled == int(change in {"added", "moved"})


@st.composite
def sightings(draw: st.DrawFn, window_ms: int) -> Sighting:
    # Close to where something changes: minutes' edges, and one window from each other.
    around = BEGIN_MS + draw(st.sampled_from((0, MINUTE_MS, window_ms, 2 * window_ms)))
    first_ms = around + draw(st.integers(-3, 3))
    return Sighting(first_ms, first_ms + draw(st.integers(0, 3)), draw(st.booleans()))


WINDOW_MS = 90_000


@given(st.lists(sightings(WINDOW_MS), min_size=1, max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_bounds_of_a_group_are_those_of_all_its_histories(group: list[Sighting], by_minute: bool) -> None:
    everywhere = [
        [*range(sighting.first_ms, sighting.last_ms + 1)] + ([] if sighting.certain else [None]) for sighting in group
    ]
    histories = [plainly_counted(times, by_minute) for times in product(*everywhere)]
    minutes = {minute for counts in histories for minute in counts}
    totals = [sum(counts.values()) for counts in histories]
    expected = GroupBounds(
        {
            minute: Bounds(min(counts[minute] for counts in histories), max(counts[minute] for counts in histories))
            for minute in minutes
        },
        Bounds(min(totals), max(totals)),
    )
    assert group_bounds(group, by_minute, WINDOW_MS) == expected


def plainly_counted(times: tuple[int | None, ...], by_minute: bool) -> Counter[int]:
    ordered = sorted(at for at in times if at is not None)
    counts: Counter[int] = Counter()
    for place, at in enumerate(ordered):
        same = [other for other in ordered[:place] if not by_minute or minute_of(other) == minute_of(at)]
        if all(at - other >= WINDOW_MS for other in same):
            counts[minute_of(at)] += 1
    return counts


@given(st.lists(st.tuples(events(), st.booleans()), min_size=9, max_size=16))
@settings(max_examples=50, deadline=None)
def test_groups_too_large_to_enumerate_still_contain_what_happened(attempts: list[tuple[Event, bool]]) -> None:
    same = [(_of_one_person(event), there) for event, there in attempts]
    truth = [line_of(event, False, 3 * MINUTE_MS) for event, _ in same]
    assert compare(expect(truth), really_counted([event for event, there in same if there])).agrees


def _of_one_person(event: Event) -> Event:
    return Event(
        event.edge_id, event.seq, event.ts_ms, "ad_1", "", "", "anna", "click", "ok", "", "", event.impression_id
    )


def test_an_answer_lost_by_a_dying_worker_may_be_counted_once_or_not_at_all_but_not_twice() -> None:
    lost = TruthLine("click", "ad_1", "anna", BEGIN_MS, BEGIN_MS, BEGIN_MS + 30)
    once = {("ad_1", minute_of(BEGIN_MS)): 1}
    assert compare(expect([lost]), {}).agrees
    assert compare(expect([lost]), once).agrees
    twice = compare(expect([lost]), {("ad_1", minute_of(BEGIN_MS)): 2})
    assert (twice.doubled, twice.lost) == (1, 0)


def test_a_lost_answer_across_a_minutes_edge_with_its_retry_is_one_click_in_all_with_an_impression_id() -> None:
    edge_ms = minute_of(BEGIN_MS) + MINUTE_MS
    lost = TruthLine("click", "ad_1", "anna", edge_ms - 5, edge_ms - 5, edge_ms - 1, "i1")
    retry_ms = edge_ms + 40
    retry = TruthLine("retry", "ad_1", "anna", retry_ms, retry_ms, retry_ms, "i1", 302, True, f"e1.1.{retry_ms}")
    truth = [lost, retry]
    before, after = ("ad_1", edge_ms - MINUTE_MS), ("ad_1", edge_ms)
    assert compare(expect(truth), {before: 1}).agrees
    assert compare(expect(truth), {after: 1}).agrees
    assert compare(expect(truth), {before: 1, after: 1}).doubled == 1
    assert compare(expect(truth), {}).lost == 1


def test_a_worker_may_finish_what_it_had_when_its_connection_broke() -> None:
    ended_ms = minute_of(BEGIN_MS) + MINUTE_MS - 1
    lost = TruthLine("click", "ad_1", "anna", ended_ms - 5, ended_ms - 5, ended_ms)
    later = minute_of(ended_ms + LINGER_MS)
    assert later != minute_of(ended_ms)
    assert compare(expect([lost]), {("ad_1", later): 1}).agrees

"""What every OLAP store promises about its answers (olap/port.py)."""

from typing import Any

import msgspec
import pytest

from adtally.errors import InvalidValueError
from adtally.olap.port import EVERYONE, USERS_STANDARD_ERROR, AggregateQuery
from support.olap_stores import DAY_EDGES_MS, MINUTE_S, NOON_S, Live, Store, groups, live, total

NASTY = [
    "'",
    '"',
    "\\",
    "\\'",
    "\\N",
    "\\t",
    "a\tb",
    "a\rb",
    "a\nb",
    "a\0b",
    "{x:String}",
    "{tenant:String}",
    "%s %(x)s $1 ? :x @x",
    "' OR 1 = 1 --",
    "'); DROP TABLE adtally.minute_live; --",
    "/* */ -- #",
    "x FORMAT Null",
    "]] FORMAT Null",
    "null",
    "NaN",
    "1",
    "=1+1",
    "größe \u0905 \u6f22 \U0001f600 e\u0301",
    "\u202e\ufeff\u00a0",
    " ",
    "a,b;c|d",
    "x" * 128,
]


def test_an_empty_store_answers_one_row_of_zeros_and_no_groups(store: Store) -> None:
    assert total(store) == (0, 0)
    assert groups(store, "ad_id") == {}
    assert groups(store, "bucket", "ad_id") == {}
    store.append_live(live())
    assert total(store) == (0, 0)


def test_a_filter_that_admits_nothing_answers_one_row_of_zeros(store: Store) -> None:
    store.append_live(live(Live(5, ["u"])))
    assert total(store, ad_ids=("ad_2",)) == (0, 0)
    assert total(store, tenant="nobody") == (0, 0)


def test_an_advertiser_sees_only_its_own(store: Store) -> None:
    store.append_live(live(Live(3, ["a"], advertiser_id="acme"), Live(4, ["a"], advertiser_id="umbra")))
    assert total(store, tenant="acme") == (3, 1)
    assert total(store, tenant="umbra") == (4, 1)
    assert total(store, tenant=EVERYONE) == (7, 1)
    assert groups(store, "advertiser_id", tenant="acme") == {("acme",): 3}


@pytest.mark.parametrize("tenant", [None, "", 0, object()])
def test_a_query_without_a_tenant_is_refused(store: Store, tenant: object) -> None:
    with pytest.raises(InvalidValueError, match="tenant"):
        store.aggregate(AggregateQuery(tenant=tenant, edges_ms=DAY_EDGES_MS))


@pytest.mark.parametrize("edges_ms", [(), (0,), (60_000, 60_000), (0, 120_000, 60_000)])
def test_edges_that_do_not_ascend_are_refused(store: Store, edges_ms: tuple[int, ...]) -> None:
    with pytest.raises(InvalidValueError, match="edges_ms"):
        store.aggregate(AggregateQuery(tenant=EVERYONE, edges_ms=edges_ms))


def test_an_order_by_users_that_are_not_measured_is_refused(store: Store) -> None:
    with pytest.raises(InvalidValueError, match="order"):
        store.aggregate(AggregateQuery(tenant=EVERYONE, edges_ms=DAY_EDGES_MS, group_by=("ad_id",), order="users"))


@pytest.mark.parametrize(
    ("column", "filtered"),
    [("ad_id", "ad_ids"), ("campaign_id", "campaign_ids"), ("device", "devices"), ("outcome", "outcomes")],
)
def test_each_filter_admits_what_it_names(store: Store, column: str, filtered: str) -> None:
    store.append_live(live(*(Live(n, [f"u{n}"], **named(column, name)) for n, name in enumerate("abc", 1))))
    assert total(store, **{filtered: ("b",)}) == (2, 1)
    assert total(store, **{filtered: ("a", "c", "absent")}) == (4, 2)
    assert total(store, **{filtered: ()}) == (6, 3)


def test_filters_admit_what_passes_all_of_them(store: Store) -> None:
    store.append_live(live(Live(1, ad_id="a", device="x"), Live(2, ad_id="a", device="y"), Live(4, ad_id="b")))
    assert total(store, ad_ids=("a", "b"), devices=("y", "mobile"))[0] == 6
    assert total(store, ad_ids=("b",), devices=("y",))[0] == 0


def test_groups_can_be_formed_by_every_dimension(store: Store) -> None:
    store.append_live(
        live(
            Live(1, advertiser_id="a", campaign_id="k", ad_id="p", device="d", outcome="bot"),
            Live(2, advertiser_id="b", campaign_id="", ad_id="q", device="e", minute_s=NOON_S + MINUTE_S),
        )
    )
    edges_ms = tuple(range(NOON_S * 1000, NOON_S * 1000 + 180_001, 60_000))
    for dimension, first, second in (
        ("bucket", 0, 1),
        ("advertiser_id", "a", "b"),
        ("campaign_id", "k", ""),
        ("ad_id", "p", "q"),
        ("device", "d", "e"),
        ("outcome", "bot", "counted"),
    ):
        assert groups(store, dimension, edges_ms=edges_ms) == {(first,): 1, (second,): 2}
    everything = ("bucket", "advertiser_id", "campaign_id", "ad_id", "device", "outcome")
    assert groups(store, *everything, edges_ms=edges_ms) == {
        (0, "a", "k", "p", "d", "bot"): 1,
        (1, "b", "", "q", "e", "counted"): 2,
    }
    assert groups(store, *reversed(everything), edges_ms=edges_ms) == {
        ("bot", "d", "p", "k", "a", 0): 1,
        ("counted", "e", "q", "", "b", 1): 2,
    }


@pytest.mark.parametrize("widths_min", [[5] * 12, [1, 59], [7, 1, 1, 20, 31], [60], [3] * 5 + [45]])
def test_a_minute_falls_into_the_bucket_that_holds_its_start(store: Store, widths_min: list[int]) -> None:
    # One click in each minute from one before the first edge to one behind the last.
    store.append_live(live(*(Live(1, minute_s=NOON_S + n * MINUTE_S) for n in range(-1, 61))))
    edges_ms = [NOON_S * 1000]
    for width in widths_min:
        edges_ms.append(edges_ms[-1] + width * 60_000)
    expected = {(bucket,): width for bucket, width in enumerate(widths_min)}
    assert groups(store, "bucket", edges_ms=tuple(edges_ms)) == expected
    assert total(store, edges_ms=tuple(edges_ms))[0] == 60


def test_edges_between_minutes_leave_each_minute_to_the_bucket_of_its_start(store: Store) -> None:
    store.append_live(live(*(Live(1 << n, minute_s=NOON_S + n * MINUTE_S) for n in range(4))))
    start_ms = NOON_S * 1000
    edges_ms = (start_ms + 1, start_ms + 400, start_ms + 60_000, start_ms + 60_001, start_ms + 180_000)
    assert groups(store, "bucket", edges_ms=edges_ms) == {(2,): 2, (3,): 4}
    assert groups(store, "bucket", edges_ms=edges_ms[:2]) == {}


def test_groups_come_in_their_own_order_or_by_a_measure_with_ties_by_group(store: Store) -> None:
    cells = {"d": (5, 1), "B": (5, 3), "a": (9, 2), "é": (5, 3), "c": (1, 4)}
    store.append_live(live(*(Live(n, range_of(users), ad_id=ad) for ad, (n, users) in cells.items())))
    measures = {"measures": ("clicks", "users")}
    assert [ad for (ad,) in groups(store, "ad_id")] == ["B", "a", "c", "d", "é"]
    assert [ad for (ad,) in groups(store, "ad_id", order="clicks")] == ["a", "B", "d", "é", "c"]
    assert [ad for (ad,) in groups(store, "ad_id", order="users", **measures)] == ["c", "B", "é", "a", "d"]
    assert [ad for (ad,) in groups(store, "ad_id", limit=2)] == ["B", "a"]
    assert groups(store, "ad_id", order="clicks", limit=3) == {("a",): 9, ("B",): 5, ("d",): 5}


def test_groups_first_by_clicks_have_all_their_users_and_ties_go_by_group(store: Store) -> None:
    minutes = [("b", 2, "xy"), ("b", 3, "yz"), ("a", 5, "x"), ("c", 1, "xyz"), ("d", 7, "x"), ("e", 5, "yz")]
    rows = [Live(n, users, ad_id=ad, minute_s=NOON_S + at * MINUTE_S) for at, (ad, n, users) in enumerate(minutes)]
    store.append_live(live(*rows, Live(9, "w", ad_id="c", outcome="bot"), Live(9, "w", ad_id="f", device="tablet")))
    query = AggregateQuery(
        "acme", DAY_EDGES_MS, ("ad_id",), ("clicks", "users"), order="clicks", outcomes=("counted",),
        devices=("mobile",), limit=3,
    )  # fmt: skip
    found = [(*row.group, row.clicks, row.users) for row in store.aggregate(query)]
    assert found == [("d", 7, 1), ("a", 5, 1), ("b", 5, 3)]
    by_two = msgspec.structs.replace(query, group_by=("ad_id", "device"), limit=2)
    assert [row.group for row in store.aggregate(by_two)] == [("d", "mobile"), ("a", "mobile")]


def test_totals_stand_behind_the_groups_with_those_that_the_limit_leaves_out(store: Store) -> None:
    store.append_live(live(Live(4, "ab", ad_id="p"), Live(3, "bc", ad_id="q"), Live(2, "x", ad_id="r", outcome="bot")))
    query = AggregateQuery(
        "acme", DAY_EDGES_MS, ("bucket", "ad_id"), ("clicks", "users"), outcomes=("counted",), totals=True
    )
    found = [(row.group, row.clicks, row.users) for row in store.aggregate(query)]
    assert found == [((0, "p"), 4, 2), ((0, "q"), 3, 2), ((), 7, 3)]
    by_clicks = msgspec.structs.replace(query, group_by=("ad_id",), order="clicks", limit=1)
    assert [(row.group, row.clicks, row.users) for row in store.aggregate(by_clicks)] == [(("p",), 4, 2), ((), 7, 3)]
    clicks_alone = msgspec.structs.replace(query, measures=("clicks",), limit=1)
    assert [(row.group, row.clicks) for row in store.aggregate(clicks_alone)] == [((0, "p"), 4), ((), 7)]


def test_totals_of_nothing_are_zeros(store: Store) -> None:
    query = AggregateQuery("nobody", DAY_EDGES_MS, ("ad_id",), ("clicks", "users"), totals=True)
    assert [(row.group, row.clicks, row.users) for row in store.aggregate(query)] == [((), 0, 0)]


def test_totals_without_groups_are_refused(store: Store) -> None:
    with pytest.raises(InvalidValueError, match="totals"):
        store.aggregate(AggregateQuery(EVERYONE, DAY_EDGES_MS, totals=True))


def range_of(number: int) -> list[str]:
    return [f"user_{n}" for n in range(number)]


def test_buckets_come_in_the_order_of_time(store: Store) -> None:
    store.append_live(live(*(Live(1, minute_s=NOON_S + n * MINUTE_S) for n in reversed(range(12)))))
    edges_ms = tuple(NOON_S * 1000 + n * 60_000 for n in range(13))
    assert list(groups(store, "bucket", edges_ms=edges_ms)) == [(n,) for n in range(12)]


def test_users_are_exact_while_they_are_few_and_0_where_nobody_asked(store: Store) -> None:
    for count in (1, 17, 100, 1_000):
        store.append_live(live(Live(count, range_of(count), ad_id=f"ad_{count}")))
        assert total(store, ad_ids=(f"ad_{count}",)) == (count, count)
    assert total(store, measures=("clicks",)) == (1_118, 0)


def test_many_users_are_estimated_within_the_standard_error(store: Store) -> None:
    # Overlapping minutes, so that the estimate is of a union and no sum.
    users = range_of(100_000)
    parts = [Live(40_000, users[n * 20_000 : n * 20_000 + 40_000], minute_s=NOON_S + n * MINUTE_S) for n in range(4)]
    for part in parts:
        store.append_live(live(part))
    clicks, estimate = total(store)
    assert clicks == 160_000
    assert abs(estimate / 100_000 - 1) <= 3 * USERS_STANDARD_ERROR


def test_nasty_ids_come_back_as_they_were_and_are_found(store: Store) -> None:
    columns = ("advertiser_id", "campaign_id", "ad_id", "device", "outcome", "shard")
    store.append_live(live(*(Live(n, [text, "u"], **named(*columns, text)) for n, text in enumerate(NASTY, 1))))
    found = groups(store, "advertiser_id", "campaign_id", "ad_id", "device", "outcome")
    assert found == {(text,) * 5: n for n, text in enumerate(NASTY, 1)}
    for n, text in enumerate(NASTY, 1):
        asked = {"ad_ids": (text,), "campaign_ids": (text,), "devices": (text,), "outcomes": (text,)}
        assert total(store, tenant=text, **asked) == (n, 2)
    assert total(store, ad_ids=tuple(NASTY))[1] == len(NASTY) + 1


def named(*columns_and_value: str) -> dict[str, Any]:
    *columns, value = columns_and_value
    return dict.fromkeys(columns, value)


def test_groups_can_be_read_on_behind_any_of_them(store: Store) -> None:
    for ad_id in ("a", "b", "größe", "' OR 1 = 1 --"):
        for device in ("desktop", "mobile"):
            store.append_live(live(Live(1, ad_id=ad_id, device=device)))
    query = AggregateQuery(EVERYONE, DAY_EDGES_MS, ("ad_id", "device"))
    every = [row.group for row in store.aggregate(query)]
    assert len(every) == 8
    for place, after in enumerate(every):
        rest = store.aggregate(msgspec.structs.replace(query, after=tuple(map(str, after)), limit=3))
        assert [row.group for row in rest] == every[place + 1 : place + 4]


@pytest.mark.parametrize("group_by", [(), ("ad_id", "device"), ("bucket",)])
def test_a_place_to_go_on_that_does_not_fit_the_groups_is_refused(store: Store, group_by: Any) -> None:
    with pytest.raises(InvalidValueError):
        store.aggregate(AggregateQuery(EVERYONE, DAY_EDGES_MS, group_by, after=("a",)))

"""The partition of a click: written down here, because every event that was ever logged went by it."""

from collections import Counter

from adtally.counting import partition_of


def test_the_partition_of_a_click_never_changes() -> None:
    assert [partition_of(ad, user, 12) for ad, user in (("ad_1", "u_1"), ("ad_1", "u_2"), ("ä", "ö"))] == [8, 2, 4]


def test_a_hot_ad_is_spread_over_all_partitions_by_its_users() -> None:
    loads = Counter(partition_of("ad_hot", f"user-{n}", 12) for n in range(120_000))
    assert len(loads) == 12
    assert max(loads.values()) < 1.1 * 10_000

"""The simulation of partitions, on traffic whose load can be said beforehand."""

from random import Random

from bench.partitions import keys, load_of, traffic_of

CLICKS = traffic_of(20_000, 0.8, Random("test"))


def test_an_ad_that_takes_four_fifths_of_all_clicks_fills_one_partition_when_the_ad_is_the_key() -> None:
    load = load_of(CLICKS, 12, keys(CLICKS)["by ad"])
    assert 0.8 * 12 <= load.max_to_mean < 0.85 * 12
    assert load.doubles_apart == 0


def test_a_salt_parts_the_double_clicks_of_hot_ads() -> None:
    load = load_of(CLICKS, 12, keys(CLICKS)["by ad, hot ads salted"])
    # Of four fifths of the clicks, and those of other ads over one per cent, eleven of twelve.
    assert load.doubles_apart > 0.8 * 11 / 12 - 0.05


def test_the_user_as_key_fills_all_partitions_alike_and_parts_no_double_click() -> None:
    load = load_of(CLICKS, 12, keys(CLICKS)["by user"])
    assert load.max_to_mean < 1.1
    assert load.doubles_apart == 0

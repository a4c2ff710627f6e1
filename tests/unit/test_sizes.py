"""Cluster sizes by hand, and the page that shows them."""

from pathlib import Path

import pytest
from bench.sizes import size_for, table

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_a_peak_of_ten_thousand_clicks_a_second_needs_what_was_reckoned_by_hand() -> None:
    size = size_for(10_000)
    assert size.clicks_per_day == 100_000_000
    # 10,000 x 65.9 us are 0.66 of a core: two workers that are half used at most, and one to spare.
    assert size.edges == 3
    assert size.broker_cores == pytest.approx((10_000 * 27.1 / 500_000, 10_000 * 159.6 / 500_000))
    assert size.brokers == 3
    assert (size.archivers, size.streams, size.flink_slots, size.partitions) == (1, 1, 1, 12)
    # 3 x 8 GiB, at 4.2 MB a second.
    assert size.spool_minutes == pytest.approx(3 * 8 * 1024**3 / 4.2e6 / 60)
    assert size.log_gb == pytest.approx(0.1 * 311 * 3 * 7)
    assert size.lake_day_gb == pytest.approx((2.27, 5.0))
    assert size.recount_hour_s == pytest.approx(36 * 1.74)


def test_hundred_times_the_clicks_need_hundred_times_the_cores_and_disks() -> None:
    small, large = size_for(10_000), size_for(1_000_000)
    assert large.broker_cores == pytest.approx(tuple(100 * each for each in small.broker_cores))
    assert large.log_gb == pytest.approx(100 * small.log_gb)
    assert large.lake_year_gb == pytest.approx(tuple(100 * each for each in small.lake_year_gb))
    # 319 cores.
    assert large.brokers == 40
    assert large.partitions % 12 == 0
    assert large.partitions >= 2 * large.flink_slots


def test_the_page_shows_the_table_that_is_reckoned() -> None:
    shown = PAGE.read_text().split("<!-- sizes: begin -->\n")[1].split("\n<!-- sizes: end -->")[0]
    assert shown.splitlines() == table()

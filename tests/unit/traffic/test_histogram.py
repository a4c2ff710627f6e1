import pytest
from hypothesis import given
from hypothesis import strategies as st

from adtally.traffic.histogram import Histogram


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=300), st.sampled_from((1, 50, 90, 99, 99.9, 100)))
def test_a_percentile_is_at_most_a_32nd_above_the_true_one(latencies_us: list[int], percent: float) -> None:
    histogram = Histogram()
    for latency_us in latencies_us:
        histogram.add(latency_us)
    ordered = sorted(latencies_us)
    true_us = next(v for place, v in enumerate(ordered, 1) if place >= len(ordered) * percent / 100)
    found_us = histogram.percentile_ms(percent) * 1_000
    assert true_us <= found_us + 1e-6 <= true_us * (1 + 1 / 32) + 1


def test_the_maximum_is_exact_and_a_negative_latency_counts_as_none() -> None:
    histogram = Histogram()
    for latency_us in (-5, 10, 1_234_567):
        histogram.add(latency_us)
    assert histogram.latencies().max_ms == pytest.approx(1_234.567)
    assert histogram.percentile_ms(1) == 0


def test_a_histogram_without_latencies_gives_zeros() -> None:
    assert Histogram().latencies().p99_ms == 0

"""Latencies in buckets of about 3 %, so that millions of them fit into a list of a thousand numbers."""

from typing import Final

import msgspec

SUB_BUCKET_BITS: Final = 5
"""Each power of two is cut into 32: a bucket is at most 1/32 wide, as in HdrHistogram with two digits and less."""

BUCKETS: Final = 40 << SUB_BUCKET_BITS
"""Enough for 2**40 us, twelve days."""


class Latencies(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds, each rounded up to its bucket's end."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Histogram:
    """Counts latencies. Not thread-safe."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total = 0
        self._max_us = 0

    def add(self, latency_us: int) -> None:
        """Count one latency, in microseconds; a negative one (a clock's rounding) counts as 0."""
        value = max(latency_us, 0)
        shift = max(value.bit_length() - SUB_BUCKET_BITS - 1, 0)
        self._counts[(shift << SUB_BUCKET_BITS) + (value >> shift)] += 1
        self._total += 1
        self._max_us = max(self._max_us, value)

    def percentile_ms(self, percent: float) -> float:
        """Give the latency that `percent` of all do not exceed, in milliseconds; 0 if there are none."""
        wanted = self._total * percent / 100
        seen = 0
        for index, number in enumerate(self._counts):
            seen += number
            if number and seen >= wanted:
                return min(_end_us(index), self._max_us) / 1_000
        return 0.0

    def latencies(self) -> Latencies:
        """Give the usual percentiles."""
        p50, p90, p99, p999 = (self.percentile_ms(percent) for percent in (50, 90, 99, 99.9))
        return Latencies(p50, p90, p99, p999, self._max_us / 1_000)


def _end_us(index: int) -> int:
    """Give the largest value of a bucket."""
    shift = max((index >> SUB_BUCKET_BITS) - 1, 0)
    return (((index - (shift << SUB_BUCKET_BITS)) + 1) << shift) - 1

"""Beginnings of buckets in answers, against the standard library's own dates."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from adtally.buckets import Buckets
from adtally.serve.metrics import timestamps

LAST_MINUTE = 4_102_444_800 // 60
"""The year 2100."""


@given(
    st.lists(st.integers(0, LAST_MINUTE), min_size=1, max_size=50),
    st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]),
)
def test_a_bucket_begins_where_its_timestamp_says(minutes: list[int], name: str) -> None:
    starts_ms = tuple(minute * 60_000 for minute in sorted(minutes))
    zone = ZoneInfo(name)
    found = timestamps(Buckets(starts_ms=starts_ms, edges_ms=(*starts_ms, starts_ms[-1] + 60_000)), zone)
    for text, start_ms in zip(found, starts_ms, strict=True):
        at = datetime.fromisoformat(text)
        assert at.timestamp() * 1000 == start_ms
        assert at.utcoffset() == datetime.fromtimestamp(start_ms // 1000, zone).utcoffset()
        assert text.endswith("Z") == (name == "UTC")
        assert len(text) == len("2026-11-23T10:00:00Z" if name == "UTC" else "2026-11-23T10:00:00+05:45")

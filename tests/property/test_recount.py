"""The recount by chDB against plain Python: whatever lies in the lake, and however finely the work is cut."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from adtally.reconcile.chdb.messages import Tuning
from adtally.reconcile.chdb.recounter import ChdbRecounter
from support.recount_lakes import Lake, check, lakes


@pytest.fixture(
    scope="module",
    params=[Tuning(threads=2), Tuning(rows_max=9, scans_max=1_000, threads=1), Tuning(rows_max=4, scans_max=0)],
    ids=["all at once", "scans of buckets", "split files"],
)
def recounter(request: pytest.FixtureRequest) -> Iterator[ChdbRecounter]:
    recounter = ChdbRecounter(request.param)
    yield recounter
    recounter.close()


@settings(max_examples=15, deadline=None)
@given(lake=lakes())
def test_chdb_counts_as_plain_python_does(recounter: ChdbRecounter, lake: Lake) -> None:
    check(recounter, lake)

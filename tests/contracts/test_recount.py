"""The recount's contract, on every engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.local.s3 import S3
from deploy.local.spark import s3a_jars

from adtally.errors import LakeDamagedError, LakeFileGoneError
from adtally.event import VERDICTS, Event
from adtally.ledger.port import Rules
from adtally.reconcile.chdb.recounter import ChdbRecounter
from adtally.reconcile.port import HourCount, Recounted, Recounter, RecountJob
from adtally.reconcile.spark.messages import Cluster
from adtally.reconcile.spark.recounter import SparkRecounter
from support.counts import Counts
from support.places import BucketPlace, FolderPlace, Place
from support.plain_recount import HOUR_MS, Appended, PlainRecounter, lake_table, read_cells
from support.s3 import access

NOON_MS = 1_795_780_800_000
"""2026-11-27T12:00:00Z"""
WINDOW_MS = 300_000
RULES = Rules(WINDOW_MS, 120_000, VERDICTS, 1)
MEMORY_BYTES_MAX = 512 * 1024**2

Recount = Callable[..., tuple[Counts, Recounted]]


def chdb(request: pytest.FixtureRequest) -> tuple[Recounter, Place]:
    return ChdbRecounter(), FolderPlace()


def plain(request: pytest.FixtureRequest) -> tuple[Recounter, Place]:
    return PlainRecounter(), FolderPlace()


def chdb_on_s3(request: pytest.FixtureRequest) -> tuple[Recounter, Place]:
    server = request.getfixturevalue("servers").running(S3)
    return ChdbRecounter(s3=access(server)), BucketPlace(server)


def spark(request: pytest.FixtureRequest) -> tuple[Recounter, Place]:
    return SparkRecounter(Cluster("local[2]")), FolderPlace()


def spark_on_s3(request: pytest.FixtureRequest) -> tuple[Recounter, Place]:
    server = request.getfixturevalue("servers").running(S3)
    return SparkRecounter(Cluster("local[2]", jars=str(s3a_jars())), access(server)), BucketPlace(server)


@pytest.fixture(
    scope="module",
    params=[
        chdb,
        plain,
        *(pytest.param(kind, marks=pytest.mark.servers) for kind in (chdb_on_s3, spark, spark_on_s3)),
    ],
)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Recounter, Place]]:
    found = request.param(request)
    yield found
    found[0].close()


@pytest.fixture
def recounter(opened: tuple[Recounter, Place]) -> Recounter:
    return opened[0]


@pytest.fixture
def place(opened: tuple[Recounter, Place], tmp_path: Path) -> Place:
    opened[1].begin(tmp_path)
    return opened[1]


@pytest.fixture
def job(place: Place, tmp_path: Path) -> Callable[..., RecountJob]:
    def write(*files: list[Appended], hours: int = 1) -> RecountJob:
        paths = [place.write(f"{number}'s.parquet", lake_table(events)) for number, events in enumerate(files)]
        (tmp_path / "results").mkdir()
        end_ms = NOON_MS + hours * HOUR_MS
        return RecountJob(NOON_MS, end_ms, tuple(paths), RULES, str(tmp_path / "results"), MEMORY_BYTES_MAX)

    return write


def click(seq: int, after_ms: int, delay_ms: int = 3, **fields: Any) -> Appended:
    event = Event(
        **{
            "edge_id": "e", "seq": seq, "ts_ms": NOON_MS + after_ms, "ad_id": "ad", "campaign_id": "c",
            "advertiser_id": "adv", "user_id": "u", "device": "mobile", "verdict": "ok", "ip_prefix": "10.0.0.0/24",
            "user_agent": "agent", "impression_id": "i", **fields,
        }
    )  # fmt: skip
    return event, event.ts_ms + delay_ms


def outcomes(recounter: Recounter, job: RecountJob) -> list[tuple[int, str, int]]:
    """Give minute after noon, outcome and events of all cells."""
    cells = read_cells(recounter.recount(job).files)
    return sorted((cell[3] // 60 - NOON_MS // 60_000, cell[5], clicks) for cell, (clicks, _) in cells.items())


def test_a_repetition_within_the_window_is_a_duplicate_and_one_after_it_a_click(
    recounter: Recounter, job: Callable[..., RecountJob]
) -> None:
    asked = job([click(1, 0), click(2, WINDOW_MS - 1), click(3, 2 * WINDOW_MS - 1)])
    assert outcomes(recounter, asked) == [(0, "counted", 1), (4, "duplicate", 1), (9, "counted", 1)]


def test_duplicates_make_duplicates_too(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    asked = job([click(n, n * (WINDOW_MS - 1)) for n in range(1, 4)])
    assert [outcome for _, outcome, _ in outcomes(recounter, asked)] == ["counted", "duplicate", "duplicate"]


def test_the_look_back_decides_and_is_not_counted(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    asked = job([click(1, -1), click(2, WINDOW_MS - 2)], [click(3, 0, user_id="v"), click(4, -WINDOW_MS, user_id="v")])
    assert outcomes(recounter, asked) == [(0, "counted", 1), (4, "duplicate", 1)]


def test_without_an_impression_id_a_click_is_a_minutes(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    asked = job([click(n, ts_ms, impression_id=None) for n, ts_ms in enumerate([0, 59_999, 60_000], 1)])
    assert outcomes(recounter, asked) == [(0, "counted", 1), (0, "duplicate", 1), (1, "counted", 1)]


def test_an_empty_impression_id_is_one(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    asked = job([click(1, 0, impression_id=""), click(2, 1, impression_id=None), click(3, 60_001, impression_id="")])
    assert outcomes(recounter, asked) == [(0, "counted", 2), (1, "duplicate", 1)]


def test_what_is_not_ok_keeps_its_verdict_and_makes_no_duplicates(
    recounter: Recounter, job: Callable[..., RecountJob]
) -> None:
    asked = job([click(1, 0, verdict="bot"), click(2, 1, verdict="bot"), click(3, 2), click(4, 3, verdict="head")])
    assert outcomes(recounter, asked) == [(0, "bot", 2), (0, "counted", 1), (0, "head", 1)]


def test_equal_times_are_ordered_by_edge_and_then_by_number(
    recounter: Recounter, job: Callable[..., RecountJob]
) -> None:
    asked = job([click(2, 0, device="tablet"), click(1, 0, edge_id="f"), click(1, 0, device="desktop")])
    cells = read_cells(recounter.recount(asked).files)
    assert {cell[4] for cell in cells if cell[5] == "counted"} == {"desktop"}


def test_an_event_in_several_files_is_one_event(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    asked = job([click(1, 0), click(2, 1, verdict="bot")], [click(1, 0), click(2, 1, verdict="bot")], [click(1, 0)])
    assert outcomes(recounter, asked) == [(0, "bot", 1), (0, "counted", 1)]


def test_of_copies_that_differ_the_smallest_counts_whatever_file_it_is_in(
    recounter: Recounter, job: Callable[..., RecountJob]
) -> None:
    asked = job(
        [click(1, 9, ad_id="other"), click(2, 5, device="mobile"), click(3, 7, ad_id="z", user_id="z")],
        [click(1, 8, ad_id="third"), click(2, 5, device="desktop", campaign_id="z"), click(3, 7, ad_id="y")],
    )
    counted = recounter.recount(asked)
    cells = read_cells(counted.files)
    assert sorted((cell[2], cell[4]) for cell in cells) == [("ad", "desktop"), ("third", "mobile"), ("y", "mobile")]
    assert counted.hours[NOON_MS].outcomes == {"counted": 3}


def test_late_events_are_counted_and_their_number_is_told(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    late = [click(1, 0, 120_001), click(2, 1, 10**9, user_id="v")]
    on_time = [click(3, 2, 120_000, user_id="w"), click(2, 1, user_id="v")]
    counted = recounter.recount(job(late, on_time))
    assert (counted.hours[NOON_MS].late, counted.hours[NOON_MS].outcomes) == (1, {"counted": 3})


def test_users_are_those_of_counted_clicks(recounter: Recounter, job: Callable[..., RecountJob]) -> None:
    asked = job([click(n, n, user_id=f"u{n % 3}", impression_id=f"i{n % 5}") for n in range(30)])
    cells = read_cells(recounter.recount(asked).files)
    assert {cell[5]: found for cell, found in cells.items()} == {
        "counted": (15, frozenset({"u0", "u1", "u2"})),
        "duplicate": (15, frozenset()),
    }


def test_manifests_do_not_depend_on_files_and_tell_the_window_before(
    recounter: Recounter, place: Place, job: Callable[..., RecountJob]
) -> None:
    events = [click(n, n * 1_000 - WINDOW_MS - 500, edge_id=f"e{n % 2}") for n in range(2_000)]
    asked = job(events)
    scattered = [events[:900], events[300:], events[::-7]]
    parts = tuple(place.write(f"part-{number}.parquet", lake_table(part)) for number, part in enumerate(scattered))
    counted = recounter.manifests(asked)[NOON_MS]
    again = recounter.manifests(RecountJob(NOON_MS, NOON_MS + HOUR_MS, parts, RULES, asked.folder, MEMORY_BYTES_MAX))
    assert again[NOON_MS] == counted
    assert (counted.manifest.events, counted.manifest.window_events) == (1_699, 300)
    assert [(edge.edge_id, edge.first_seq, edge.last_seq, edge.events) for edge in counted.edges] == [
        ("e0", 302, 1_998, 849),
        ("e1", 301, 1_999, 850),
    ]


def test_hours_without_events_and_jobs_without_files_are_answered(
    recounter: Recounter, job: Callable[..., RecountJob]
) -> None:
    counted = recounter.recount(job(hours=3))
    assert read_cells(counted.files) == {}
    assert list(counted.hours) == [NOON_MS + n * HOUR_MS for n in range(3)]
    nothing: HourCount = counted.hours[NOON_MS]
    assert (nothing.manifest.events, nothing.outcomes, nothing.late, nothing.edges) == (0, {}, 0, ())
    assert counted.hours[NOON_MS + HOUR_MS] == nothing


def test_a_file_that_is_gone_is_told(recounter: Recounter, place: Place, job: Callable[..., RecountJob]) -> None:
    asked = job([click(1, 0)], [click(2, 1)])
    place.remove(asked.files[1])
    with pytest.raises(LakeFileGoneError, match=r"1's\.parquet"):
        recounter.recount(asked)


@pytest.mark.parametrize("keep", [0, 3, 400, -1])
def test_a_file_that_was_cut_off_is_named(
    recounter: Recounter, place: Place, job: Callable[..., RecountJob], keep: int
) -> None:
    asked = job([click(1, 0)], [click(2, 1)])
    place.put(asked.files[1], place.content(asked.files[1])[:keep])
    for ask in (recounter.recount, recounter.manifests):
        with pytest.raises(LakeDamagedError, match=r"1's\.parquet is damaged"):
            ask(asked)

"""What is submitted to Flink, and where a job begins that restores no checkpoint."""

import random

import msgspec
import pytest

from adtally.counting import AHEAD_MS
from adtally.errors import ConfigError
from adtally.stream.flink.job import JobSettings, Start, properties, replay_start, statements

SETTINGS = JobSettings(("127.0.0.1:9092", "kafka-2:9092"), "adtally.clicks", 300_000, 120_000)


def test_the_job_is_a_table_of_clicks_one_of_live_rows_views_and_one_insert() -> None:
    found = statements(SETTINGS, Start())
    assert [statement.count("INSERT INTO") for statement in found] == [0] * (len(found) - 1) + [1]
    assert "'properties.bootstrap.servers' = '127.0.0.1:9092,kafka-2:9092'" in found[0]
    assert "'scan.startup.mode' = 'earliest-offset'" in found[0]
    assert "${" not in "".join(found)


def test_a_start_at_a_time_reads_from_it_and_counts_from_the_floor() -> None:
    found = "".join(statements(SETTINGS, Start(appended_ms=7_000, floor_ms=60_000)))
    assert "'scan.startup.timestamp-millis' = '7000'" in found
    assert found.count("ts_ms >= 60000") == 2


@pytest.mark.parametrize("broken", ["a'b", "a b", "a;b", "a\nb", "", "a`"])
def test_a_name_that_could_end_a_literal_is_refused(broken: str) -> None:
    with pytest.raises(ConfigError, match=r"log\.topic"):
        statements(msgspec.structs.replace(SETTINGS, topic=broken), Start())
    with pytest.raises(ConfigError, match=r"log\.brokers"):
        statements(msgspec.structs.replace(SETTINGS, brokers=(broken,)), Start())


def test_a_checkpoint_is_restored_by_a_setting_and_never_stands_in_a_statement() -> None:
    start = Start(checkpoint="s3://bucket/it's", floor_ms=60_000)
    assert properties(SETTINGS, start)["execution.state-recovery.path"] == "s3://bucket/it's"
    assert "bucket" not in "".join(statements(SETTINGS, start))
    assert "execution.state-recovery.path" not in properties(SETTINGS, Start())


def test_clicks_are_remembered_for_longer_than_window_lateness_and_the_age_of_a_checkpoint() -> None:
    assert properties(SETTINGS, Start())["table.exec.state.ttl"] == "600000 ms"


def test_a_replay_counts_every_minute_that_was_open_and_reads_all_that_decides_it() -> None:
    rng = random.Random(1)
    for _ in range(1_000):
        passed_ms = 1_700_000_000_000 + rng.randrange(10**8)
        start = replay_start(passed_ms, SETTINGS)
        # The oldest event that is not late when it is appended after `passed_ms`.
        oldest_ms = passed_ms - SETTINGS.lateness_ms
        assert start.floor_ms <= oldest_ms // 60_000 * 60_000
        assert start.floor_ms % 60_000 == 0
        # An event that one of the floor's minute can repeat, appended before its time by a clock that is ahead.
        assert start.appended_ms <= start.floor_ms - SETTINGS.dedup_window_ms - AHEAD_MS


def test_rocksdb_looks_for_new_clicks_by_its_filters_and_the_heap_needs_none() -> None:
    filters = "state.backend.rocksdb.use-bloom-filter"
    assert properties(msgspec.structs.replace(SETTINGS, state="rocksdb"), Start())[filters] == "true"
    assert filters not in properties(SETTINGS, Start())

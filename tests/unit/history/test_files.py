"""Clicks of the past are read alike from NDJSON, CSV and Parquet."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from adtally.errors import UsageError
from adtally.history.files import COLUMNS, Format, format_of, identify, read_rows
from adtally.history.rows import ClickRow

NOW_MS = 1_795_000_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
ROWS = st.fixed_dictionaries(
    {
        "ts": st.integers(946_684_800_000, NOW_MS),
        "ad_id": IDS,
        "user_id": st.none() | IDS,
        "impression_id": st.none() | IDS,
        "user_agent": st.none() | TEXT,
        "ip": st.none() | st.ip_addresses().map(str),
        "referrer": st.none() | TEXT,
    }
)


def expected(row: dict[str, Any]) -> ClickRow:
    return ClickRow(
        row["ts"],
        row["ad_id"],
        row["user_id"],
        row["impression_id"],
        (row["user_agent"] or "").encode(),
        row["ip"] or "",
        (row["referrer"] or "").encode(),
    )


def as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    target = io.StringIO(newline="")
    writer = csv.DictWriter(target, COLUMNS.names)
    writer.writeheader()
    writer.writerows(rows)
    return target.getvalue().encode()


def as_ndjson(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: Sequence[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    schema = schema or pa.schema([(name, pa.int64() if name == "ts" else pa.string()) for name in COLUMNS.names])
    target = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(list(rows), schema), target)
    return target.getvalue()


def read(content: bytes, file_format: Format) -> list[tuple[int, object]]:
    return list(read_rows(io.BytesIO(content), file_format, NOW_MS))


@settings(deadline=None)
@given(st.lists(ROWS, max_size=8), st.booleans())
def test_the_same_rows_give_the_same_clicks_in_every_format(rows: list[dict[str, Any]], rfc3339: bool) -> None:
    clicks = [expected(row) for row in rows]
    assert [row for _, row in read(as_parquet(rows), "parquet")] == clicks
    if rfc3339:
        for row in rows:
            row["ts"] = datetime.fromtimestamp(row["ts"] // 1000, UTC).replace(
                microsecond=row["ts"] % 1000 * 1000
            ).isoformat()  # fmt: skip
    assert [row for _, row in read(as_csv(rows), "csv")] == clicks
    assert [row for _, row in read(as_ndjson(rows), "ndjson")] == clicks


GOOD = {"ts": 1_700_000_000_123, "ad_id": "a"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts": "2026-02-30T10:00:00Z"}, "ts: '2026-02-30T10:00:00Z' is no time"),
        ({"ts": "2025-01-01T10:00:00"}, "ts: '2025-01-01T10:00:00' has no offset"),
        ({"ts": "yesterday"}, "ts: 'yesterday' is no time"),
        ({"ts": "٣"}, "ts: '٣' is no time"),
        ({"ts": ""}, "ts: '' is no time"),
        ({"ts": 1_700_000_000}, "ts: 1700000000 ms lies before 2000: give epoch milliseconds"),
        ({"ts": NOW_MS + 1}, "in the future"),
        ({"ad_id": ""}, "ad_id: is empty"),
        ({"ad_id": "x" * 129}, "ad_id: has 129 bytes"),
        ({"user_id": "a\tb"}, "user_id: "),
        ({"impression_id": "é" * 65}, "impression_id: has 130 bytes"),
    ],
)
@pytest.mark.parametrize("file_format", ["csv", "ndjson"])
def test_a_bad_row_costs_only_itself(file_format: Format, change: dict[str, Any], reason: str) -> None:
    rows = [GOOD, GOOD | change, GOOD]
    content = as_csv(rows) if file_format == "csv" else as_ndjson(rows)
    found = read(content, file_format)
    lines = [2, 3, 4] if file_format == "csv" else [1, 2, 3]
    assert [line for line, _ in found] == lines
    assert [isinstance(row, ClickRow) for _, row in found] == [True, False, True]
    assert reason in str(found[1][1])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "no click"),
        (b'{"ts": 1.5, "ad_id": "a"}', "no click"),
        (b'{"ts": true, "ad_id": "a"}', "no click"),
        (b'{"ts": 1700000000000, "ad_id": "a", "user": "u"}', "unknown field `user`"),
        (b'{"ad_id": "a"}', "missing required field `ts`"),
        (b'{"ts": 1700000000000, "ad_id": "\xff"}', "no click"),
        (b'{"ts": 1700000000000, "ad_id": "a", "user_agent": "\\ud800"}', ""),
        (b'{"x": "' + b"x" * 70_000 + b'"}', "is longer than 65536 bytes"),
    ],
)
def test_a_line_that_is_no_click_says_why(line: bytes, reason: str) -> None:
    (number, row), (_, good) = read(line + b'\n{"ts": 1700000000123, "ad_id": "a"}\n', "ndjson")
    assert number == 1
    assert reason in str(row)
    assert isinstance(row, str)
    assert isinstance(good, ClickRow)


def test_bytes_of_a_csv_user_agent_that_are_no_utf8_are_kept_for_the_judge() -> None:
    ((_, row),) = read(b"ts,ad_id,user_agent\n1700000000123,a,caf\xe9\n", "csv")
    assert isinstance(row, ClickRow)
    assert row.user_agent == b"caf\xe9"


def test_a_fraction_of_a_millisecond_is_dropped_and_no_whole_one_is_lost() -> None:
    rows = b"ts,ad_id\n" + b"".join(b"2025-06-01T10:00:00.%03d999+02:00,a\n" % ms for ms in range(1000))
    clicks = [row for _, row in read(rows, "csv")]
    assert [row.ts_ms % 1000 for row in clicks if isinstance(row, ClickRow)] == list(range(1000))


def test_timestamps_of_parquet_are_taken_in_any_unit_and_zone() -> None:
    at = datetime(2025, 6, 1, 10, 0, 0, 123_456, UTC)
    for unit in ("ms", "us", "ns"):
        schema = pa.schema([("ts", pa.timestamp(unit, "Europe/Berlin")), ("ad_id", pa.string())])
        content = as_parquet([{"ts": at.replace(microsecond=123_000), "ad_id": "a"}], schema)
        ((line, row),) = read(content, "parquet")
        assert isinstance(row, ClickRow)
        assert (line, row.ts_ms) == (1, 1_748_772_000_123)


def test_timestamps_of_parquet_without_a_zone_are_refused() -> None:
    schema = pa.schema([("ts", pa.timestamp("ms")), ("ad_id", pa.string())])
    content = as_parquet([{"ts": datetime(2025, 6, 1), "ad_id": "a"}], schema)  # noqa: DTZ001 - the point
    with pytest.raises(UsageError, match="no time zone"):
        read(content, "parquet")


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_file_without_the_columns_of_a_click_is_refused(file_format: Format) -> None:
    content = b"time,ad\n1,a\n" if file_format == "csv" else as_parquet([{"x": 1}], pa.schema([("x", pa.int64())]))
    with pytest.raises(UsageError, match="lacks ts, ad_id"):
        read(content, file_format)


def test_what_is_no_parquet_is_refused() -> None:
    with pytest.raises(UsageError, match="no Parquet file with the columns of a click"):
        read(b"PAR1 but not really", "parquet")


def test_the_format_follows_from_the_name() -> None:
    assert format_of(Path("a.b/access.LOG")) == "weblog"
    assert format_of(Path("x.jsonl")) == "ndjson"
    with pytest.raises(UsageError, match="--format"):
        format_of(Path("access.log.1"))


def test_the_identity_follows_from_the_bytes_alone(tmp_path: Path) -> None:
    names = ("a.csv", "b.csv", "c.csv")
    for name, content in zip(names, (b"same", b"same", b"samf"), strict=True):
        (tmp_path / name).write_bytes(content)
    a, b, c = (identify(tmp_path / name) for name in names)
    assert (a.edge_id, a.person_key) == (b.edge_id, b.person_key)
    assert a.edge_id != c.edge_id
    assert a.edge_id.startswith("import-")
    assert len(a.edge_id) == len("import-") + 16
    # Who sees the edge_id in the log must not know the key.
    assert a.edge_id.removeprefix("import-") not in a.person_key.hex()

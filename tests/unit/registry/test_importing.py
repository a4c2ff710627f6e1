import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from adtally.errors import UsageError
from adtally.registry.ad_files import Format, format_of, write_csv, write_ndjson
from adtally.registry.importing import Batch, read_batches, store_batch
from adtally.registry.port import Ad
from adtally.registry.sql import SqlRegistry
from adtally.rowfiles import LINE_BYTES_MAX, RowError

ADS = [
    Ad(
        "ad_1", "acme", "https://acme.example/?c={click_id}", campaign_id="spring", name='Shoes, "red"', status="paused"
    ),
    Ad("ad_2", "globex", "http://globex.example/", name="Schuhe \u00e9"),
]
HEADER = b"ad_id,advertiser_id,landing_url\n"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    opened = SqlRegistry.open(tmp_path / "registry.db")
    yield opened
    opened.close()


def read(tmp_path: Path, content: bytes, file_format: Format = "csv") -> Batch:
    file = tmp_path / "ads"
    file.write_bytes(content)
    (batch,) = read_batches(file, file_format)
    return batch


@pytest.mark.parametrize(("write", "file_format"), [(write_csv, "csv"), (write_ndjson, "ndjson")])
def test_what_is_exported_is_imported_as_it_was(write: object, file_format: Format, tmp_path: Path) -> None:
    text = io.StringIO()
    write(ADS, text)  # type: ignore[operator]
    assert read(tmp_path, text.getvalue().encode(), file_format).ads == ADS


def test_columns_may_stand_in_any_order_and_optional_ones_may_be_missing(tmp_path: Path) -> None:
    batch = read(tmp_path, b"landing_url, ad_id ,status,advertiser_id\nhttps://a.example/,a,,acme\n")
    assert batch.ads == [Ad("a", "acme", "https://a.example/")]


def test_a_spreadsheets_csv_with_byte_order_mark_and_crlf_is_read(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + HEADER.replace(b"\n", b"\r\n") + b'a,acme,"https://a.example/"\r\n\r\n'
    assert read(tmp_path, content).ads == [Ad("a", "acme", "https://a.example/")]


def test_bad_csv_rows_are_named_by_their_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    content = HEADER + b'1,a,u\n2,a\n\n4,"a\nb",u\n5,"x"y,u\n6,a,u,v\n7,a,u\n'
    batch = read(tmp_path, content)
    assert batch.lines == [2, 5, 9]
    assert [(error.line, error.reason[:20]) for error in batch.errors] == [
        (3, "has 2 fields, the he"),
        (7, "no CSV: ',' expected"),
        (8, "has 4 fields, the he"),
    ]


def test_a_quote_that_is_never_closed_is_an_error_and_no_ad(tmp_path: Path) -> None:
    batch = read(tmp_path, HEADER + b'1,a,u\n2,"a,u\n3,a,u\n')
    assert [ad.ad_id for ad in batch.ads] == ["1"]
    (error,) = batch.errors
    assert error.line == 3
    assert "lines 3 to 4" in error.reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "lacks ad_id, advertiser_id, landing_url"),
        (b"ad_id,landing_url\n", "lacks advertiser_id"),
        (HEADER.strip() + b",stauts\n", "unknown 'stauts'"),
        (HEADER.strip() + b",ad_id\n", "twice 'ad_id'"),
    ],
)
def test_a_header_that_is_not_one_of_ads_is_refused(header: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "ads.csv"
    file.write_bytes(header)
    with pytest.raises(UsageError, match=reason):
        list(read_batches(file, "csv"))


def test_bad_ndjson_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = b'{"ad_id":"%d","advertiser_id":"a","landing_url":"u"}\n'
    long = b'{"ad_id":"' + b"x" * LINE_BYTES_MAX * 3 + b'"}\n'
    bad = [b"{\n", b'{"ad_id":"1"}\n', good.replace(b"}", b',"x":1}') % 1, b'"\xff"\n', b"[1]\n", long]
    batch = read(tmp_path, good % 1 + b"\n" + b"".join(bad) + (good % 9).strip(), "ndjson")
    assert (batch.lines, [ad.ad_id for ad in batch.ads]) == ([1, 9], ["1", "9"])
    assert [error.line for error in batch.errors] == [3, 4, 5, 6, 7, 8]
    assert "advertiser_id" in batch.errors[1].reason
    assert "unknown field `x`" in batch.errors[2].reason
    assert "longer than" in batch.errors[5].reason


def test_parquet_is_read_whatever_its_types_are(tmp_path: Path) -> None:
    table = pa.table(
        {
            "ad_id": pa.array([1, 2]),
            "advertiser_id": pa.array(["acme", "acme"]).dictionary_encode(),
            "landing_url": pa.array(["https://a.example/", None], pa.large_string()),
            "name": [None, "n"],
        }
    )
    write_table(table, tmp_path / "ads.parquet")
    (batch,) = read_batches(tmp_path / "ads.parquet", "parquet")
    assert batch.ads == [Ad("1", "acme", "https://a.example/"), Ad("2", "acme", "", name="n")]
    assert batch.lines == [1, 2]


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ads.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match="no Parquet file"):
        list(read_batches(tmp_path / "ads.parquet", "parquet"))
    write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UsageError, match="lacks ad_id"):
        list(read_batches(tmp_path / "other.parquet", "parquet"))


def test_a_large_file_comes_in_batches_with_lines_counted_through(tmp_path: Path) -> None:
    file = tmp_path / "ads.csv"
    file.write_bytes(HEADER + b"".join(b"ad_%d,a,https://a.example/\n" % number for number in range(10_001)))
    first, second = read_batches(file, "csv")
    assert (len(first.ads), first.lines[0], first.lines[-1]) == (10_000, 2, 10_001)
    assert (second.lines, second.ads[0].ad_id) == ([10_002], "ad_10000")
    assert first.bytes_read <= second.bytes_read == file.stat().st_size


def test_the_format_is_told_by_the_files_name() -> None:
    assert format_of(Path("a.CSV")) == "csv"
    assert format_of(Path("a.jsonl")) == "ndjson"
    assert format_of(Path("a.parquet")) == "parquet"
    with pytest.raises(UsageError, match="say --format"):
        format_of(Path("a.xlsx"))


def test_of_a_batch_everything_that_can_be_stored_is_stored(registry: SqlRegistry) -> None:
    registry.upsert_ads([Ad("old", "acme", "https://a.example/", campaign_id="spring")])
    batch = [
        Ad("new", "acme", "https://a.example/"),
        Ad("bad url", "acme", "nowhere"),
        Ad("old", "globex", "https://a.example/"),
        Ad("old", "acme", "https://a.example/new", campaign_id="spring"),
        Ad("\udcff", "acme", "https://a.example/"),
        Ad("stolen", "globex", "https://a.example/", campaign_id="spring"),
    ]
    stored = store_batch(registry, [2, 3, 4, 5, 6, 7], batch)
    assert (stored.created, stored.changed, stored.unchanged) == (1, 1, 0)
    assert [error.line for error in stored.errors] == [3, 4, 6, 7]
    assert [ad.ad_id for ad in registry.all_ads()] == ["new", "old"]
    assert registry.ad("old").landing_url == "https://a.example/new"


def test_a_batch_without_one_good_row_stores_nothing(registry: SqlRegistry) -> None:
    stored = store_batch(registry, [7], [Ad("", "a", "https://a.example/")])
    assert (stored.created, stored.errors) == (0, [RowError(7, "ad_id: is empty")])
    assert registry.count_ads() == 0

"""`adtally ads`, on the folder alone and through the API."""

from pathlib import Path

import msgspec
import pytest

from adtally.cli.registry_access import PAGE_ADS, ApiAccess
from adtally.cli.target import ApiClient
from adtally.config import ServeConfig
from adtally.registry.port import Ad
from support.serving import Served

from .conftest import Run

CSV = """ad_id,advertiser_id,landing_url,campaign_id,name,status
ad_1,acme,https://acme.example/?c={click_id},spring,"Shoes, red",active
ad_2,acme,https://acme.example/2,spring,[bold]x[/bold],paused
ad 3/?,globex,https://globex.example/,,,
"""
BAD = """ad_4,acme,ftp://acme.example/,,,
ad_5,globex,https://globex.example/,spring,,
ad_1,globex,https://globex.example/,,,
ad_6,acme
ad_7,acme,https://acme.example/7,,,
"""


@pytest.fixture
def ads_csv(tmp_path: Path) -> Path:
    file = tmp_path / "ads.csv"
    file.write_text(CSV, encoding="utf-8")
    return file


def test_ads_are_imported_and_importing_again_changes_nothing(run_there: Run, ads_csv: Path) -> None:
    first = run_there("ads", "import", ads_csv)
    assert (first.code, first.err) == (0, "")
    assert first.out == f"{ads_csv}: 3 ads created, 0 changed, 0 unchanged, 0 bad rows\n"
    again = run_there("ads", "import", ads_csv, "--json")
    assert again.json == {"created": 0, "changed": 0, "unchanged": 3, "errors": []}


def test_bad_rows_are_reported_with_their_lines_and_the_rest_is_stored(run_there: Run, ads_csv: Path) -> None:
    ads_csv.write_text(CSV + BAD, encoding="utf-8")
    ran = run_there("ads", "import", ads_csv, "--json")
    assert ran.code == 1
    assert ran.json["created"] == 4
    assert [error["line"] for error in ran.json["errors"]] == [5, 6, 7, 8]
    reasons = [error["reason"] for error in ran.json["errors"]]
    assert reasons[0].startswith("landing_url: 'ftp://")
    assert reasons[1].startswith("campaign_id: campaign 'spring' belongs to advertiser 'acme'")
    assert reasons[2].startswith("advertiser_id: ad 'ad_1' belongs to advertiser 'acme'")
    assert reasons[3] == "has 2 fields, the header has 6"
    assert ran.err.splitlines()[3] == f"{ads_csv}: line 8: has 2 fields, the header has 6"


def test_bytes_that_are_no_utf8_cost_only_their_row(run_there: Run, ads_csv: Path) -> None:
    ads_csv.write_bytes(
        CSV.encode() + b"ad_8,acme,https://acme.example/,,\xff\xfe,\nad_9,acme,https://acme.example/,,,\n"
    )
    ran = run_there("ads", "import", ads_csv, "--json")
    assert (ran.json["created"], ran.json["errors"]) == (4, [{"line": 5, "reason": "name: is not valid UTF-8"}])


def test_strict_stops_at_the_first_bad_row_and_stores_nothing_of_its_batch(run_there: Run, ads_csv: Path) -> None:
    ads_csv.write_text(CSV + BAD, encoding="utf-8")
    ran = run_there("ads", "import", ads_csv, "--strict")
    assert ran.code == 1
    assert [line.split(": ")[1] for line in ran.err.splitlines()[:-1]] == ["line 5"]
    assert run_there("ads", "list", "--json").json == {"ads": [], "next": None}


def test_strict_reads_no_further_than_the_batch_with_the_bad_row(run: Run, ads_csv: Path) -> None:
    ads = [f"ad_{number},acme,https://acme.example/,,,\n" for number in range(25_000)]
    ads[15_000] = "bad\n"
    ads_csv.write_text(CSV.splitlines()[0] + "\n" + "".join(ads), encoding="utf-8")
    ran = run("ads", "import", ads_csv, "--strict", "--json")
    assert (ran.json["created"], [error["line"] for error in ran.json["errors"]]) == (10_000, [15_002])


def test_ads_are_listed_in_pages_as_text_and_as_json(run_there: Run, ads_csv: Path) -> None:
    run_there("ads", "import", ads_csv)
    listed = run_there("ads", "list")
    assert listed.out.splitlines() == [
        "ad_id   advertiser_id  landing_url                         campaign_id  name            status",
        "ad 3/?  globex         https://globex.example/                                          active",
        "ad_1    acme           https://acme.example/?c={click_id}  spring       Shoes, red      active",
        "ad_2    acme           https://acme.example/2              spring       [bold]x[/bold]  paused",
    ]
    page = run_there("ads", "list", "--limit", 1, "--advertiser", "acme", "--json")
    assert ([ad["ad_id"] for ad in page.json["ads"]], page.json["next"]) == (["ad_1"], "ad_1")
    rest = run_there("ads", "list", "--after", page.json["next"], "--advertiser", "acme", "--json")
    assert ([ad["ad_id"] for ad in rest.json["ads"]], rest.json["next"]) == (["ad_2"], None)


def test_an_ad_is_shown(run_there: Run, ads_csv: Path) -> None:
    run_there("ads", "import", ads_csv)
    assert run_there("ads", "show", "ad 3/?").out.splitlines()[0] == "ad_id          ad 3/?"
    shown = run_there("ads", "show", "ad_1", "--json").json
    assert msgspec.convert(shown, Ad) == Ad(
        "ad_1", "acme", "https://acme.example/?c={click_id}", "spring", "Shoes, red"
    )


def test_what_is_set_changes_and_the_rest_stays(run_there: Run, ads_csv: Path) -> None:
    run_there("ads", "import", ads_csv)
    changed = run_there("ads", "set", "ad_1", "--status", "archived", "--campaign", "", "--json")
    assert changed.code == 0
    assert msgspec.convert(changed.json, Ad) == Ad(
        "ad_1", "acme", "https://acme.example/?c={click_id}", "", "Shoes, red", "archived"
    )
    assert run_there("ads", "show", "ad_1", "--json").json == changed.json


def test_a_change_that_breaks_a_rule_is_refused(run_there: Run, ads_csv: Path) -> None:
    run_there("ads", "import", ads_csv)
    ran = run_there("ads", "set", "ad_1", "--landing-url", "javascript:x")
    assert ran.code == 1
    assert "neither http:// nor https://" in ran.err
    assert run_there("ads", "set", "ad 3/?", "--campaign", "spring").code == 1


def test_an_unknown_ad_is_answered_with_1(run_there: Run, ads_csv: Path) -> None:
    run_there("ads", "import", ads_csv)
    assert run_there("ads", "show", "nope").code == 1
    assert run_there("ads", "set", "nope", "--name", "x").code == 1


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_export_is_a_file_that_import_takes(options: tuple[str, ...], run_there: Run, ads_csv: Path) -> None:
    run_there("ads", "import", ads_csv)
    exported = run_there("ads", "export", *options)
    copy = ads_csv.with_name("copy")
    copy.write_text(exported.out, encoding="utf-8")
    ran = run_there("ads", "import", copy, "--format", "ndjson" if options else "csv", "--json")
    assert ran.json == {"created": 0, "changed": 0, "unchanged": 3, "errors": []}


def test_wrong_use_is_answered_with_2(run: Run, ads_csv: Path) -> None:
    run("ads", "import", ads_csv)
    assert run("ads", "set", "ad_1").code == 2
    assert run("ads", "import", "no-such-file.csv").code == 2
    assert run("ads", "set", "ad_1", "--status", "off").code == 2
    other = ads_csv.rename(ads_csv.with_suffix(".xlsx"))
    assert run("ads", "import", other).code == 2


def test_reading_a_folder_that_is_not_there_makes_none(run: Run, tmp_path: Path) -> None:
    ran = run("ads", "list", "--data-dir", tmp_path / "nowhere")
    assert ran.code == 1
    assert "is no adtally data folder" in ran.err
    assert not (tmp_path / "nowhere").exists()


def test_an_export_through_the_api_waits_where_it_is_told_to(tmp_path: Path) -> None:
    config = ServeConfig(requests_per_minute=2)
    with Served(tmp_path, config) as served:
        served.registry.upsert_ads([Ad(f"ad_{n:05}", "acme", "https://a.example/") for n in range(4 * PAGE_ADS)])
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            served.clock.at_s += seconds

        with ApiClient(served.url, served.admin_key, sleep) as client:
            assert len(list(ApiAccess(client).ads(None))) == 4 * PAGE_ADS
    assert waits == [30, 30]

"""`adtally import`, by its exit code and what it prints."""

from pathlib import Path

import pytest

from support.import_log import read_log

from .conftest import Run

ADS = "ad_id,advertiser_id,landing_url\na,acme,https://acme.example/\n"
CSV = "ts,ad_id,user_id\n1700000000000,a,u1\n2023-11-14T22:13:21Z,nope,u2\n1700000002000,a,u3\n"


@pytest.fixture
def history(run: Run, tmp_path: Path) -> Path:
    (tmp_path / "ads.csv").write_text(ADS)
    assert run("ads", "import", "ads.csv", "--data-dir", "data").code == 0
    file = tmp_path / "history.csv"
    file.write_text(CSV)
    return file


def test_good_rows_come_in_and_bad_ones_are_told_with_their_lines(run: Run, history: Path) -> None:
    ran = run("import", history, "--data-dir", "data")
    assert ran.code == 1
    assert ran.out == f"{history}: 2 clicks imported, 0 already there, 1 bad row\n"
    assert ran.err == (
        f"{history}: line 3: ad_id: no ad 'nope': register it with `adtally ads import`, and import again\n"
    )
    assert [event.user_id for event in read_log(Path("data/log")).events] == ["u1", "u3"]


def test_a_file_without_bad_rows_is_answered_with_0_the_second_time_too(run: Run, history: Path) -> None:
    history.write_text(CSV.replace("nope", "a"))
    first = run("import", history, "--data-dir", "data", "--json")
    again = run("import", history, "--data-dir", "data", "--json")
    assert (first.code, again.code) == (0, 0)
    edge_id = first.json["edge_id"]
    rest = {"skipped": {}, "bad_rows": 0, "errors": []}
    assert first.json == {"edge_id": edge_id, "imported": 3, "already_there": 0, **rest}
    assert again.json == {"edge_id": edge_id, "imported": 0, "already_there": 3, **rest}


def test_strict_stops_at_the_bad_row(run: Run, history: Path) -> None:
    ran = run("import", history, "--data-dir", "data", "--strict", "--json")
    assert ran.code == 1
    assert (ran.json["imported"], [error["line"] for error in ran.json["errors"]]) == (0, [3])
    assert ran.err.splitlines()[-1] == "stopped there: --strict"
    assert read_log(Path("data/log")).events == []


def test_skipped_lines_of_a_web_server_log_are_counted_and_are_not_bad(run: Run, history: Path) -> None:
    line = '192.0.2.7 - - [10/Oct/2025:13:55:36 +0000] "GET {} HTTP/1.1" {} 0 "-" "Mozilla/5.0"\n'
    asked = [("/click?ad_id=a", 302), ("/", 200), ("/robots.txt", 404), ("/click?ad_id=a", 500)]
    log = history.with_name("access.log.1")
    log.write_text("".join(line.format(*each) for each in asked))
    ran = run("import", log, "--format", "weblog", "--data-dir", "data")
    assert ran.code == 0
    assert ran.out == f"{log}: 1 click imported, 0 already there, 0 bad rows, 1 no redirect, 2 other path\n"


def test_of_very_many_bad_rows_the_answer_names_the_first_thousand(run: Run, history: Path) -> None:
    history.write_text("ts,ad_id\n" + "1700000000000,nope\n" * 1_500)
    ran = run("import", history, "--data-dir", "data", "--json")
    assert (ran.json["bad_rows"], len(ran.json["errors"]), len(ran.err.splitlines())) == (1_500, 1_000, 1_500)


def test_wrong_use_is_answered_with_2_and_brings_nothing_in(run: Run, history: Path) -> None:
    assert run("import", "nowhere.csv", "--data-dir", "data").code == 2
    assert run("import", history, "--format", "xml", "--data-dir", "data").code == 2
    assert run("import", history.rename(history.with_suffix(".txt")), "--data-dir", "data").code == 2
    other = history.with_name("other.csv")
    other.write_text("when,which\n1,a\n")
    ran = run("import", other, "--data-dir", "data")
    assert ran.code == 2
    assert "the header lacks ts, ad_id" in ran.err


def test_a_folder_without_data_is_not_made_into_one(run: Run, history: Path) -> None:
    ran = run("import", history, "--data-dir", "elsewhere")
    assert ran.code == 1
    assert "is no adtally data folder" in ran.err
    assert not Path("elsewhere").exists()

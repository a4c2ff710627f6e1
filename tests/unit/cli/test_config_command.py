"""`adtally config`, `adtally version`, and how tables look in a pipe."""

from pathlib import Path

import pytest

from adtally import __version__

from .conftest import Run


def test_each_setting_is_shown_with_its_origin(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "config.toml"
    file.write_text("[log]\nretention_days = 3\n", encoding="utf-8")
    monkeypatch.setenv("ADTALLY_EDGE__PORT", "9")
    shown = run("config", "show", "--data-dir", tmp_path / "data", "--json").json["settings"]
    settings = {entry["setting"]: (entry["value"], entry["origin"]) for entry in shown}
    assert settings["edge.port"] == (9, "ADTALLY_EDGE__PORT")
    assert settings["log.retention_days"] == (3, str(file))
    assert settings["serve.host"] == ("127.0.0.1", "default")


def test_a_long_value_is_whole_in_a_pipe(run: Run, tmp_path: Path) -> None:
    proxies = [f"10.{number}.0.0/16" for number in range(100)]
    file = tmp_path / "a.toml"
    file.write_text(f"[edge]\ntrusted_proxies = {proxies}\n", encoding="utf-8")
    (line,) = (line for line in run("config", "show", "--config", file).out.splitlines() if "trusted_proxies" in line)
    assert "10.0.0.0/16" in line
    assert line.endswith(str(file))


def test_a_right_file_is_answered_with_0_and_a_wrong_one_with_1(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[edge]\nport = 9\n", encoding="utf-8")
    right = run("config", "check", file)
    assert right.code == 0
    assert "is right: 1 setting" in right.out
    file.write_text("[edge]\nprot = 9\n", encoding="utf-8")
    wrong = run("config", "check", file)
    assert wrong.code == 1
    assert "unknown setting 'edge.prot'" in wrong.err


def test_checking_a_file_does_not_look_at_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADTALLY_EDGE__PROT", "9")
    (tmp_path / "a.toml").touch()
    assert run("config", "check", tmp_path / "a.toml").code == 0
    assert run("config", "show").code == 2
    assert run("config", "check", tmp_path / "missing.toml").code == 2


def test_the_version_is_shown(run: Run) -> None:
    assert run("version").out.startswith(f"adtally {__version__}\n")
    assert run("version", "--json").json["adtally"] == __version__

"""Runs commands as a shell would: arguments in; exit code, output and errors out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from adtally.cli.main import main
from support.serving import Served


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Give a function that runs `adtally ARGUMENTS...` in an empty folder, without variables of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("ADTALLY_URL", "ADTALLY_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run_command(*arguments: object) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["adtally", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Ran(code, *capsys.readouterr())

    return run_command


@pytest.fixture(params=["folder", "api"])
def run_there(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Iterator[Run]:
    """Give `run` against a folder where nothing runs, and against the API of a running system."""
    if request.param == "folder":
        yield lambda *arguments: run(*arguments, "--data-dir", tmp_path / "data")
        return
    (tmp_path / "served").mkdir()
    with Served(tmp_path / "served") as served:
        yield lambda *arguments: run(*arguments, "--url", served.url, "--key", served.admin_key)

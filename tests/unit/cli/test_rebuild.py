"""What `adtally rebuild` refuses to throw away."""

import shutil
import sqlite3
from pathlib import Path

from click.testing import CliRunner

from adtally.cli.main import cli
from upgrade.questions import unpack


def test_a_store_that_alone_has_numbers_is_not_thrown_away(tmp_path: Path) -> None:
    unpack("0.1.0", tmp_path)
    data = tmp_path / "data"
    shutil.rmtree(data / "olap")
    (data / "olap").mkdir()
    (data / "olap" / "part").write_text("numbers")
    with sqlite3.connect(data / "ledger.db") as ledger:
        ledger.execute("UPDATE line SET state = 'frozen' WHERE hour_ms = (SELECT min(hour_ms) FROM line)")
    ledger.close()
    done = CliRunner().invoke(cli, ["rebuild", "--yes", "--data-dir", str(data)])
    assert done.exit_code == 1
    assert "raw events of 1 hour were removed" in str(done.exception)
    assert (data / "olap" / "part").read_text() == "numbers"

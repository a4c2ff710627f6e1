"""The embedded size needs nothing of the extras `cluster` and `spark`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

WITHOUT_EXTRAS = """
import sys

class Absent:
    names = {"confluent_kafka", "obstore", "psycopg", "pyspark", "redis"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def test_the_demo_counts_where_no_client_of_a_cluster_is_installed(tmp_path: Path) -> None:
    # Python imports this module at every start, so it holds for the system's child processes too.
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    done = subprocess.run(
        [sys.executable, "-m", "adtally", "demo", "--seconds", "3", "--data-dir", str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("agrees")

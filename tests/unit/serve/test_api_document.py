"""docs/api.md: its table is the table of endpoints, and its examples work."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from adtally.serve.endpoints import ENDPOINTS
from adtally.serve.openapi import kinds
from adtally.serve.problems import INTERNAL, RATE_LIMITED, UNAVAILABLE
from support.serving import NOW_MS, Served, report

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "api.md"
EXAMPLES = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
OF_EVERY_ADDRESS = (RATE_LIMITED, INTERNAL, UNAVAILABLE)


def table() -> list[str]:
    rows = ["| address | key | refuses with |", "| --- | --- | --- |"]
    for endpoint in ENDPOINTS:
        refusals = ", ".join(f"{kind.status} {kind.name}" for kind in kinds(endpoint) if kind not in OF_EVERY_ADDRESS)
        rows.append(f"| {endpoint.method} {endpoint.path} | {endpoint.who} | {refusals} |")
    return rows


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("document")) as served:
        served.ad("ad_123", "acme", "spring")
        served.ad("ad_124", "acme")
        served.click("ad_123", "ann", "2026-11-23T10:00:00Z", campaign="spring", device="mobile")
        served.click("ad_123", "bob", "2026-11-18T10:00:00Z", campaign="spring")
        served.progress.update(report(NOW_MS - 500))
        yield served


def test_the_table_says_what_each_address_refuses() -> None:
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert lines == table(), "put this into docs/api.md:\n" + "\n".join(table())


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 8


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are for curl")
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works_as_it_stands(served: Served, tmp_path: Path, example: str) -> None:
    environment = {"PATH": os.environ["PATH"], "URL": served.url, "KEY": served.admin_key}
    ran = subprocess.run(
        ["sh", "-e", "-c", example],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout or list(tmp_path.iterdir()), "nothing came"
    assert all(file.stat().st_size > 40 for file in tmp_path.iterdir())

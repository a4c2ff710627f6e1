"""A real system whose processes see the disk and the clock through shim.c."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from faults.lab import ADS, Lab
from faults.shim import Shim, compile_shim
from support.embedded import Embedded

SETTINGS = {"ADTALLY_LAKE__FLUSH_MS": "500", "ADTALLY_RECONCILE__EVERY_MS": "2000"}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(library: Path, tmp_path: Path) -> Shim:
    return Shim(library, tmp_path / "faults", tmp_path / "data")


@pytest.fixture
def lab(library: Path, tmp_path: Path) -> Iterator[Lab]:
    """Give a system that has its ads and is not started."""
    yield from laboratory(library, tmp_path)


@pytest.fixture(scope="module")
def running(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give one running system for all tests of a file; a test ends its faults, and waits until all is well again."""
    for lab in laboratory(library, tmp_path_factory.mktemp("system")):
        lab.system.start()
        yield lab


def laboratory(library: Path, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Lab]:
    """Give a system in `folder`, with `more` settings, and end it."""
    shim = Shim(library, folder / "faults", folder / "data")
    system = Embedded(folder / "data", edges=2, environment={**SETTINGS, **(more or {}), **shim.environment})
    ads = folder / "ads.csv"
    rows = [f"ad_{n},adv_{n % 5},https://shop.example/{n},cmp_{n % 10}" for n in range(ADS)]
    ads.write_text("ad_id,advertiser_id,landing_url,campaign_id\n" + "\n".join(rows) + "\n")
    system.command("ads", "import", str(ads))
    yield Lab(shim, system, folder)
    if system.process is not None and system.process.poll() is None:
        assert system.stop() == 0

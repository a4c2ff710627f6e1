"""A real system whose processes see the disk and the clock through shim.c."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.shim import Shim, compile_shim
from support.embedded import Embedded

ADS = 20


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(library: Path, tmp_path: Path) -> Shim:
    return Shim(library, tmp_path / "faults", tmp_path / "data")


@pytest.fixture
def system(shim: Shim, tmp_path: Path) -> Iterator[Embedded]:
    system = Embedded(tmp_path / "data", edges=2, environment=shim.environment)
    ads = tmp_path / "ads.csv"
    rows = [f"ad_{n},adv_{n % 5},https://shop.example/{n},cmp_{n % 10}" for n in range(ADS)]
    ads.write_text("ad_id,advertiser_id,landing_url,campaign_id\n" + "\n".join(rows) + "\n")
    system.command("ads", "import", str(ads))
    yield system
    if system.process is not None and system.process.poll() is None:
        system.stop()

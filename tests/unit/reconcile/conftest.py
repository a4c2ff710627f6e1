"""What the reconciler works on."""

from pathlib import Path

import pytest

from support.reconciling import Backend


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path)

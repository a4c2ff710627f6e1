"""An edge takes no more connections than the system lets it open files, and asks for as many as it may."""

import subprocess
import sys

import pytest

LIMITED = """
import resource
from adtally.config import EdgeConfig
from adtally.wiring.edge import within_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
fit = within_descriptors(EdgeConfig(connections_max=300)).connections_max
print(fit, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "fit", "limit"),
    [(100, 900, 300, 556), (700, 900, 300, 700), (300, 400, 144, 400), (100, 100, 1, 100)],
)
def test_the_limit_of_open_files_bounds_connections(soft: int, hard: int, fit: int, limit: int) -> None:
    program = LIMITED.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == [str(fit), str(limit)]

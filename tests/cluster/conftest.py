"""One whole cluster for all tests that need one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.local.cluster import Cluster

from support.servers import Servers
from support.whole import Whole


@pytest.fixture(scope="session")
def whole(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Give the running cluster. The single servers of other tests make room for it; who needs one starts it again."""
    servers.close()
    folder = Path(tmp_path_factory.mktemp("whole"))
    cluster = Cluster(folder / "cluster")
    try:
        print("\nstarted", *cluster.start())
        whole = Whole(cluster, folder)
        with whole.client:
            whole.warm_up()
            yield whole
    finally:
        cluster.stop()

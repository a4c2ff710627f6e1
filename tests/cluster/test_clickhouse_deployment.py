"""The files of deploy/clickhouse, read by a server."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from deploy.local.clickhouse import ClickHouse

from support.olap_stores import Live, clickhouse, live, total

pytestmark = pytest.mark.servers

FOLDER = Path(__file__).parents[2] / "deploy" / "clickhouse"


class Deployed(ClickHouse):
    """A server whose shards and user come from the deployment's files, with addresses of this host."""

    def command(self) -> Sequence[str]:
        command = super().command()
        config = self.folder / "config.xml"
        config.write_text(re.sub("<remote_servers>.*</remote_servers>", "", config.read_text()))
        users = self.folder / "users.xml"
        users.write_text(re.sub("<users>.*</users>", "", users.read_text(), flags=re.DOTALL))
        for name in ("config.d/adtally.xml", "users.d/adtally.xml"):
            text = (FOLDER / name).read_text()
            text = re.sub(r"clickhouse-\d", "127.0.0.1", text).replace("CHANGE-ME", self.password)
            text = text.replace(">9000<", f">{self.shard.tcp_port}<")
            digest = hashlib.sha256(self.password.encode()).hexdigest()
            text = re.sub("(<password_sha256_hex>)[^<]*", rf"\g<1>{digest}", text)
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        return command


def test_a_server_reads_them_lets_the_user_in_knows_the_shards_and_keeps_no_log_in_tables(tmp_path: Path) -> None:
    server = Deployed(tmp_path / "server")
    server.start()
    try:
        store = clickhouse(server)
        store.append_live(live(Live(3, ["a"])))
        assert total(store) == (3, 1)
        assert store._run("SELECT count() FROM system.clusters WHERE cluster = 'adtally'") == [[2]]
        assert store._run("SELECT value FROM system.settings WHERE name = 'log_queries'") == [["0"]]
        store._run("SYSTEM FLUSH LOGS")
        assert store._run("SELECT name FROM system.tables WHERE database = 'system' AND name LIKE '%\\_log'") == []
        store.close()
    finally:
        server.kill()

"""What deploy/clickhouse says is what the code expects."""

import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from adtally.olap.clickhouse.everywhere import CLUSTER
from adtally.olap.migrations import migrations

FOLDER = Path(__file__).parents[3] / "deploy" / "clickhouse"
ENGINE = re.compile(
    r"ENGINE = (?:Replicated)?(\w+)(?:\('/clickhouse/tables/\{shard\}/adtally/(\w+)', '\{replica\}'\))?"
)


def test_the_shards_are_listed_under_the_name_that_is_asked_for() -> None:
    servers = ET.parse(FOLDER / "config.d" / "adtally.xml").find("remote_servers")
    assert servers is not None
    assert [cluster.tag for cluster in servers] == [CLUSTER]


def test_the_hash_of_the_user_is_that_of_the_password_of_the_shards() -> None:
    (password,) = {one.text or "" for one in ET.parse(FOLDER / "config.d" / "adtally.xml").iter("password")}
    (digest,) = [one.text for one in ET.parse(FOLDER / "users.d" / "adtally.xml").iter("password_sha256_hex")]
    assert digest == hashlib.sha256(password.encode()).hexdigest()


def test_tables_with_replicas_are_those_of_the_schema() -> None:
    made: dict[str, str] = {}
    statements = [statement for statements in migrations("adtally").values() for statement in statements]
    for statement in statements:
        if found := re.match(r"CREATE TABLE adtally\.(\w+) (.*)", statement, re.DOTALL):
            copied = re.match(r"AS adtally\.(\w+)$", found[2])
            made[found[1]] = made[copied[1]] if copied else found[2]
    text = (FOLDER / "replicas.sql").read_text(encoding="utf-8")
    replicated = re.findall(r"CREATE TABLE adtally\.(\w+) (.*?);", text, re.DOTALL)
    gone = {match[1] for one in statements if (match := re.match(r"DROP TABLE adtally\.(\w+)$", one))}
    kept = {name for name, body in made.items() if "MergeTree" in body} - gone
    assert {name for name, _ in replicated} == kept
    for name, body in replicated:
        engine = ENGINE.search(body)
        assert engine is not None
        assert engine[2] == (None if name.endswith(("_staging", "_staged")) else name)
        assert ENGINE.sub(rf"ENGINE = {engine[1]}", body) == made[name]

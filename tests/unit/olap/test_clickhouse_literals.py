"""How values stand in statements for servers without parameters, and on which shard an advertiser lies."""

from typing import Any

import pytest

from adtally.errors import StoreQueryError
from adtally.olap.clickhouse.literals import with_values
from adtally.olap.clickhouse_sql import compile_query
from adtally.olap.port import EVERYONE, AggregateQuery
from adtally.olap.sharding import shard_of


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("", "''"),
        ("größe", "'größe'"),
        ("it's", r"'it\'s'"),
        ("a\\", r"'a\\'"),
        ("\\'", r"'\\\''"),
        ("'; DROP TABLE t --", r"'\'; DROP TABLE t --'"),
        ("a\0b\tc\nd\re\bf\fg", r"'a\0b\tc\nd\re\bf\fg'"),
        ("{b:String}", "'{b:String}'"),
    ],
)
def test_a_text_stays_inside_its_quotes(value: str, literal: str) -> None:
    assert with_values("x = {a:String} y", {"a": value, "b": "never"}) == f"x = {literal} y"


def test_numbers_have_the_type_that_was_declared() -> None:
    assert with_values("{a:UInt32}", {"a": 5}) == "toUInt32(5)"
    assert with_values("has({a:Array(UInt32)}, 1)", {"a": [5, 2**32 - 1]}) == (
        "has(CAST([5,4294967295] AS Array(UInt32)), 1)"
    )


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("String", 5),
        ("String", None),
        ("UInt32", "5"),
        ("UInt32", "5 OR 1"),
        ("UInt32", -1),
        ("UInt32", 2**32),
        ("UInt32", True),
        ("UInt32", 1.5),
        ("Array(UInt32)", "[1]"),
        ("Array(UInt32)", ["1"]),
        ("Array(UInt32)", [1, -1]),
        ("Float64", 1.5),
        ("Identifier", "t"),
    ],
)
def test_a_value_of_another_type_than_declared_is_refused(declared: str, value: Any) -> None:
    with pytest.raises(StoreQueryError, match="parameter a "):
        with_values(f"{{a:{declared}}}", {"a": value})
    with pytest.raises(StoreQueryError, match="parameter a "):
        with_values(f"{{a:{declared}}}", {})


def test_no_place_of_a_compiled_query_is_left_open() -> None:
    asked = AggregateQuery(
        EVERYONE, (0, 60_000, 180_000), ("bucket",), ad_ids=("{tenant:String}",), devices=("a", "b"), limit=5
    )
    statement = compile_query(asked, "other")
    written = with_values(statement.sql, statement.parameters)
    assert written.count("{") == written.count("'{tenant:String}'") == 1
    assert "FROM other.minute_live" in written
    assert "adtally." not in written


def test_an_advertiser_keeps_its_shard_from_version_to_version() -> None:
    # Other numbers would look for rows where they do not lie.
    assert [shard_of(name, 8) for name in ("acme", "umbra", "", "größe", "adv_1")] == [6, 0, 0, 1, 7]
    assert {shard_of(f"adv_{n}", 3) for n in range(50)} == {0, 1, 2}
    assert shard_of("anything", 1) == 0

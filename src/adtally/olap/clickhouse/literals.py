"""Writes values into statements, for servers that know no parameters (before 19.14). Nothing else does.

What a value becomes is a literal of its declared type, whatever stands in it; a declared parameter without a value of
that type is a defect.
"""

import re
from collections.abc import Mapping
from typing import Final

from adtally.errors import StoreQueryError
from adtally.olap.clickhouse_sql import Parameter

_PLACE: Final = re.compile(r"\{(\w+):([^{}]+)\}")
_UINT32_MAX: Final = (1 << 32) - 1
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\0": "\\0", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
)


def with_values(sql: str, parameters: Mapping[str, Parameter]) -> str:
    """Give a statement with literals in the places of its `{name:Type}`. Raises StoreQueryError for an unfit value.

    The statement is gone through once, so a value that looks like a place stays a value.
    """
    return _PLACE.sub(lambda place: _literal(place[1], place[2], parameters), sql)


def _literal(name: str, declared: str, parameters: Mapping[str, Parameter]) -> str:
    value = parameters.get(name)
    if declared == "String" and isinstance(value, str):
        return f"'{value.translate(_ESCAPES)}'"
    if declared == "UInt32" and _is_uint32(value):
        return f"toUInt32({value})"
    if declared == "Array(UInt32)" and isinstance(value, list) and all(map(_is_uint32, value)):
        return f"CAST([{','.join(map(str, value))}] AS Array(UInt32))"
    raise StoreQueryError(f"the parameter {name} of a statement has no value of type {declared}")


def _is_uint32(value: object) -> bool:
    return type(value) is int and 0 <= value <= _UINT32_MAX

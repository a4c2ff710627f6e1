"""Query strings into frozen structs: every parameter checked, unknown and repeated ones refused."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import inspect

from adtally.errors import InvalidValueError
from adtally.serve.values import PARSERS

Params = TypeVar("Params", bound=msgspec.Struct)
Parser = Callable[[str], Any]

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


class QueryParser(Generic[Params]):
    """Makes `struct` of a path's and a query's parameters. Its fields are what is allowed."""

    def __init__(self, struct: type[Params]) -> None:
        self._struct = struct
        self._parsers: dict[str, Parser] = {}
        self._required: list[str] = []
        for field in msgspec.structs.fields(struct):
            self._parsers[field.encode_name] = parser_of(inspect.type_info(field.type))
            if field.required:
                self._required.append(field.encode_name)

    def __call__(self, query: bytes, path_params: Mapping[str, str]) -> Params:
        """Give the parameters. Raises InvalidValueError naming the first that is wrong."""
        texts = dict(path_params)
        for name, value in _pairs(query):
            if name not in self._parsers or name in path_params:
                known = ", ".join(name for name in self._parsers if name not in path_params) or "none"
                raise InvalidValueError(name, f"is no parameter of this address; known are: {known}")
            if name in texts:
                raise InvalidValueError(name, "is given more than once")
            texts[name] = value
        for name in self._required:
            if name not in texts:
                raise InvalidValueError(name, "is missing")
        values = {}
        for name, text in texts.items():
            try:
                values[name] = self._parsers[name](text)
            except ValueError as error:
                raise InvalidValueError(name, str(error)) from None
        return self._struct(**values)


def parser_of(info: inspect.Type) -> Parser:
    """Give the function from a text to a type's value; it raises ValueError with the reason.

    Lists are texts separated by commas.
    """
    if isinstance(info, inspect.Metadata):
        return parser_of(info.type)
    if isinstance(info, inspect.CustomType):
        return PARSERS[info.cls]
    if isinstance(info, inspect.UnionType):
        return parser_of(next(member for member in info.types if not isinstance(member, inspect.NoneType)))
    if isinstance(info, inspect.LiteralType):
        return _one_of([str(value) for value in info.values])
    if isinstance(info, inspect.VarTupleType):
        return _list_of(parser_of(info.item_type))
    if isinstance(info, inspect.IntType):
        return _integer(info)
    if isinstance(info, inspect.BoolType):
        return _truth
    if isinstance(info, inspect.StrType):
        return str
    raise TypeError(f"a query parameter cannot be of type {info}")


def _one_of(allowed: list[str]) -> Parser:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return parse


def _truth(text: str) -> bool:
    return bool(_one_of(["true", "false"])(text) == "true")


def _list_of(item: Parser) -> Parser:
    def parse(text: str) -> tuple[Any, ...]:
        items = tuple(item(part) for part in text.split(","))
        if len(set(items)) < len(items):
            raise ValueError(f"{text!r} names something twice")
        return items

    return parse


def _integer(info: inspect.IntType) -> Parser:
    least, most = info.ge, info.le

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"{text!r} is no whole number")
        number = int(text)
        if (least is not None and number < least) or (most is not None and number > most):
            raise ValueError(f"{number} is not between {least} and {most}")
        return number

    return parse


def _pairs(query: bytes) -> list[tuple[str, str]]:
    if _BAD_ESCAPE.search(query):
        raise InvalidValueError("query", "holds a % that no two hexadecimal digits follow: write it as %25")
    found = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            found.append((_decoded(name, "query"), _decoded(value, name.decode("ascii", "replace"))))
    return found


def _decoded(raw: bytes, field: str) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValueError(field, "is not valid UTF-8") from None

"""Between the ledger's structs and the rows of its tables. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from adtally.ledger.port import HourLine, Manifest, Rules
from adtally.olap.port import CellDifference

CELLS_OF_ROW: Final = 1_000

_encode: Final = msgspec.json.Encoder().encode
_counts: Final = msgspec.json.Decoder(dict[str, int])
_rules: Final = msgspec.json.Decoder(Rules)
_cells: Final = msgspec.json.Decoder(list[tuple[str, str, str, int, str, str, int, int]])


def row_of(line: HourLine, commit: int) -> dict[str, Any]:
    """Give a line's columns by name, numbered `commit`."""
    row = {name: getattr(line, name) for name in HourLine.__struct_fields__ if name != "manifest"}
    row |= msgspec.structs.asdict(line.manifest)
    row |= {name: _encode(row[name]).decode() for name in ("previous", "final", "rules")}
    return row | {"commit": commit}


def line_of(columns: dict[str, Any]) -> HourLine:
    """Give the line that a row's columns are; `columns` is used up."""
    manifest = Manifest(*(columns.pop(name) for name in Manifest.__struct_fields__))
    columns["previous"] = _counts.decode(columns["previous"])
    columns["final"] = _counts.decode(columns["final"])
    columns["rules"] = _rules.decode(columns["rules"])
    return HourLine(manifest=manifest, **columns)


def rows_of_cells(cells: Sequence[CellDifference]) -> Iterator[dict[str, Any]]:
    """Give the columns, but for the line's number, of the rows that hold `cells`."""
    for first in range(0, len(cells), CELLS_OF_ROW):
        part = [msgspec.structs.astuple(cell) for cell in cells[first : first + CELLS_OF_ROW]]
        yield {"first_index": first, "cells": _encode(part).decode()}


def cells_of_text(text: str) -> list[CellDifference]:
    """Give the cells of one row."""
    return [CellDifference(*cell) for cell in _cells.decode(text)]

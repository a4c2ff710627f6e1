"""Tables as CSV files (RFC 4180) that a spreadsheet may open without running anything."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from adtally.serve.endpoint import Download

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_UNSAFE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
NAME_CHARACTERS_MAX: Final = 100


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Download:
    """Give a file named after `name`, with CRLF line ends and a header.

    A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection).
    """
    file_name = _UNSAFE_NAME.sub("_", name)[:NAME_CHARACTERS_MAX] + ".csv"
    return Download(csv_lines([header, *rows]), MEDIA_TYPE, file_name)


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Give a part of such a file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_guarded(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _guarded(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell

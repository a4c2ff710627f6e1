"""Tables as CSV files (RFC 4180) that a spreadsheet may open without running anything."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from adtally.serve.endpoint import Download

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_UNSAFE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
NAME_CHARACTERS_MAX: Final = 100


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Download:
    """Give a file named after `name`, with CRLF line ends and a header.

    A text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection).
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_guarded(cell) for cell in row] for row in rows)
    file_name = _UNSAFE_NAME.sub("_", name)[:NAME_CHARACTERS_MAX] + ".csv"
    return Download(text.getvalue().encode(), "text/csv; charset=utf-8; header=present", file_name)


def _guarded(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell

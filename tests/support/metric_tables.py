"""The tables of metrics in docs/operations.md, and the names of metrics in whatever speaks of them."""

import re
from pathlib import Path

import msgspec

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SERIES = re.compile(r"\badtally_[a-z0-9_]+")


class Row(msgspec.Struct, frozen=True):
    """What the page says of one metric."""

    unit: str
    meaning: str
    alerts: tuple[str, ...]


def table(mark: str) -> dict[str, Row]:
    """Give the rows between the comments `mark: begin` and `mark: end`, by metric."""
    text = PAGE.read_text()
    between = text.split(f"<!-- {mark}: begin -->")[1].split(f"<!-- {mark}: end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in between.strip().splitlines()[2:]]
    return {
        name.strip("`"): Row(unit, meaning, tuple(filter(None, re.split(r", ?", alerts))))
        for name, unit, meaning, alerts in rows
    }


def exposed(text: str) -> dict[str, str]:
    """Give adtally's metrics of an answer of `/-/metrics`, by name, with their types."""
    found = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {name: kind for name, kind in found if name.startswith("adtally_")}


def named(query: str) -> set[str]:
    """Give the metrics that a query names; a histogram's series by the histogram's name."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES.findall(query)}

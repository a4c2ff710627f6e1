"""Tables for people: fitted to the terminal, and whole where the output goes into a file or a pipe."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

UNLIMITED_COLUMNS: Final = 1_000_000


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    styles: Mapping[str, str] | None = None,
    numbers: Collection[str] | None = None,
) -> None:
    """Print rows under their columns' names; a cell whose text is in `styles` is coloured by it on a terminal.

    Columns that `numbers` names stand to the right. A table with numbers is not fitted to a narrow terminal: it wraps
    whole lines, where a folded number would be misread.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
        if numbers is not None and column.header in numbers:
            column.justify = "right"
    for row in rows:
        # Text, so that brackets in somebody's ad name are not taken for markup.
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
    console = Console()
    if numbers is not None or not console.is_terminal:
        console = Console(width=UNLIMITED_COLUMNS)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def plural(number: int, noun: str) -> str:
    """Give `1 ad`, `2 ads`, `10,000 ads`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

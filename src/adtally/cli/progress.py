"""A bar for long work on a file: on a terminal only, and gone when the work is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_progress(file: Path) -> Iterator[Callable[[int, str], None]]:
    """Give a function that shows how many bytes of `file` are done, and a word about them."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(file.name, total=file.stat().st_size)
        yield lambda done, word: progress.update(task, completed=done, description=word)

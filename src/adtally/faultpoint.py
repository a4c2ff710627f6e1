"""Named places at which a test kills the process, and nobody else does anything.

Work that must survive a kill at every step says where its steps end: `reach("archiver.renamed")`.
"""

from collections.abc import Callable


def _nothing(name: str) -> None:
    """Do nothing: nobody tests."""


on_reach: Callable[[str], None] = _nothing
"""What happens at each place; a test puts its own function here."""


def reach(name: str) -> None:
    """Say that the place `name` is reached."""
    on_reach(name)

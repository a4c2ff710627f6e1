"""What the API is built on."""

from collections.abc import Callable

import msgspec

from adtally.clock import Clock
from adtally.config import ServeConfig
from adtally.history.letters import LetterDesk
from adtally.olap.port import OlapReader
from adtally.registry.port import Registry
from adtally.serve.progress import Progress


class Services(msgspec.Struct, frozen=True):
    """The stores, and what else the API asks. `reader` and `registry` block and are called from threads only."""

    reader: OlapReader
    registry: Registry
    clock: Clock
    config: ServeConfig
    progress: Progress
    letters: LetterDesk
    ready: Callable[[], list[str]]
    """Gives the reasons why the API should not be sent requests now; none if it is ready. May block."""
    click_url: str | None = None
    """Where the edges answer, for the page's example of a click."""

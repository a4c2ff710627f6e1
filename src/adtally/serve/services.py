"""What the API is built on."""

from collections.abc import Callable

import msgspec

from adtally.clock import Clock
from adtally.config import ReconcileConfig, ServeConfig
from adtally.history.letters import LetterDesk
from adtally.ledger.port import Ledger
from adtally.olap.port import OlapReader
from adtally.reconcile.requests import Desk
from adtally.registry.port import Registry, SessionStore
from adtally.serve.cache.port import NO_CACHE, Cache
from adtally.serve.link import LinkSpec
from adtally.serve.progress import Progress


class Services(msgspec.Struct, frozen=True):
    """The stores, and what else the API asks. `reader`, `registry` and `ledger` block: they are called from threads."""

    reader: OlapReader
    registry: Registry
    ledger: Ledger
    clock: Clock
    config: ServeConfig
    progress: Progress
    letters: LetterDesk
    ready: Callable[[], list[str]]
    """Gives the reasons why the API should not be sent requests now; none if it is ready. May block."""
    reconcile: ReconcileConfig = ReconcileConfig()
    """For how long final minutes and quarter hours are kept."""
    reconciling: Desk | None = None
    """Where passes are asked for; None in an application that reaches no reconciler."""
    cache: Cache = NO_CACHE
    sessions: SessionStore | None = None
    """Where sign-in sessions are kept; None for this process's memory."""
    link: LinkSpec | None = None
    """What opens a session once, without a key; None for nothing."""
    more_metrics: Callable[[], bytes] = bytes
    """Gives what else is to be shown at `/-/metrics`, in Prometheus' text format. May block."""
    click_url: str | None = None
    """Where the edges answer, for the page's example of a click."""

"""Keeps an edge host's copy of the ads current, from a registry that may be away."""

import random
from typing import Final

from adtally.errors import DataFolderError, StoreUnavailableError
from adtally.faultpoint import reach
from adtally.registry.copy import AdCopy, Loading
from adtally.registry.port import AdSource
from adtally.telemetry import log

PAGE_ADS: Final = 10_000
POLL_MS: Final = 250
PAUSE_MS: Final = 500
PAUSE_MS_MAX: Final = 10_000


class Follower:
    """Copies all ads once, and from then on what was changed. Advances by `step`, in one thread; one for each host.

    While the registry is away the copy stays as it is and edges go on. What the feed does not hold any more, because
    the host was away for long or the registry came from a backup, is a reason to copy all ads again; edges read the old
    copy until the new one is whole.
    """

    def __init__(self, source: AdSource, copy: AdCopy, seed: int | None = None) -> None:
        self._source = source
        self._copy = copy
        self._random = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._next_ms = 0
        self._failures = 0
        self._loads = False
        """Whether the copying that is under way was begun, or looked at, by this process."""
        self.filled = copy.place is not None
        """Whether there is a copy to read. Other threads may look at this, and at what follows."""
        self.trouble = ""
        """Why the registry cannot be followed now; empty if it can."""
        self.current_ms = 0
        """When the copy was last known to hold every change; 0 before the first time."""

    def require_copy(self) -> None:
        """Raise StoreUnavailableError if there is no copy to read, and none to be had now."""
        if self.trouble and not self.filled:
            raise StoreUnavailableError(
                f"this host has no copy of the ads yet, and cannot make one: {self.trouble}. "
                "Start it once while the registry answers; later starts need the copy alone"
            )

    def step(self, now_ms: int) -> bool:
        """Do the next piece of work, if it is time for one. True if there is more to do at once."""
        # A clock that was set back must not stop us.
        if now_ms < self._next_ms <= now_ms + PAUSE_MS_MAX:
            return False
        try:
            more = self._advance(now_ms)
        except (StoreUnavailableError, DataFolderError) as error:
            self._rest(str(error), now_ms)
            return False
        if self.trouble:
            log.info("the registry is followed again")
        self.trouble, self._failures = "", 0
        self._next_ms = now_ms if more else now_ms + POLL_MS
        return more

    def close(self) -> None:
        """Close source and copy."""
        self._source.close()
        self._copy.close()

    def _advance(self, now_ms: int) -> bool:
        loading = self._copy.loading
        if loading is not None and (self._loads or self._goes_on(loading)):
            return self._load(loading)
        place = self._copy.place
        changes = None if place is None or loading is not None else self._source.changes(place, PAGE_ADS)
        if place is None or changes is None:
            log.info("all ads are copied from the registry", again=place is not None)
            self._copy.begin(self._source.newest())
            self._loads = True
        elif changes.place != place:
            self._copy.apply(place, changes.ads, changes.place)
            reach("feed.applied")
        else:
            self.current_ms = now_ms
            return False
        return True

    def _goes_on(self, loading: Loading) -> bool:
        """Tell whether what an earlier process began can be gone on with: the feed must hold all that followed."""
        self._loads = self._source.changes(loading.place, 1) is not None
        return self._loads

    def _load(self, loading: Loading) -> bool:
        ads = self._source.ads(loading.after, PAGE_ADS)
        if ads:
            self._copy.extend(loading, ads)
            reach("feed.extended")
        else:
            self._copy.finish(loading)
            self.filled, self._loads = True, False
            reach("feed.finished")
        return True

    def _rest(self, trouble: str, now_ms: int) -> None:
        if not self.trouble:
            log.warning("the registry cannot be followed: edges go on with their copy", error=trouble)
        pause_ms = min(PAUSE_MS_MAX, PAUSE_MS * 2 ** min(self._failures, 10))
        self._next_ms = now_ms + round(pause_ms * self._random.uniform(0.5, 1.0))
        self.trouble, self._failures = trouble, self._failures + 1

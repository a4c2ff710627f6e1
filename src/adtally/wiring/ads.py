"""The ads as an edge reads them: the registry's own file, or this host's copy of a registry on a server."""

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import StoreUnavailableError
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.wiring.stores import open_registry

if TYPE_CHECKING:
    from adtally.registry.feed import Follower

FOLLOW_POLL_S: Final = 0.1
FIRST_COPY_S_MAX: Final = 600.0


@contextlib.contextmanager
def ads_file(folder: DataFolder, config: Config) -> Iterator[Path]:
    """Give the file that an AdReplica reads, kept current until the end.

    Raises StoreUnavailableError where a copy is to be made for the first time and the registry does not answer.
    """
    if not config.registry.url:
        # Another SQLite library in this process must not have the file open beside the replica's: closing it would
        # drop the replica's locks.
        if not folder.registry.exists():
            open_registry(folder, config).close()
        yield folder.registry
        return
    following = _Following(folder, config)
    try:
        following.wait_filled()
        yield folder.ads
    finally:
        following.close()


class _Following:
    """Follows the registry in a thread: one for each host, whoever of its edge workers holds the lock."""

    def __init__(self, folder: DataFolder, config: Config) -> None:
        self._folder = folder
        self._config = config
        self._ended = threading.Event()
        self._filled = threading.Event()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="ads", daemon=True)
        self._thread.start()

    def wait_filled(self) -> None:
        """Return when there is a copy to read. Raises StoreUnavailableError."""
        if not self._filled.wait(FIRST_COPY_S_MAX) and self._failed is None:
            raise StoreUnavailableError(f"the copy of the ads was not made within {FIRST_COPY_S_MAX:g} s")
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        from adtally.registry.changes import SqlAdSource
        from adtally.registry.copy import AdCopy
        from adtally.registry.feed import Follower

        try:
            with (self._folder.run / "ads.lock").open("w") as lock:
                while not self._ended.is_set() and not _try_lock(lock.fileno()):
                    # Somebody else of this host follows; a copy that is there is as good as one's own.
                    with contextlib.closing(AdCopy(self._folder.ads)) as copy:
                        if copy.place is not None:
                            self._filled.set()
                    self._ended.wait(1)
                if self._ended.is_set():
                    return
                copy = AdCopy(self._folder.ads)
                self._follow(Follower(SqlAdSource.connect(self._config.registry.url), copy))
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            if self._filled.is_set():
                # Nobody waits any more: without this line ads would grow old in silence.
                log.error("THE ADS ARE NOT FOLLOWED ANY MORE: start this edge again", error=str(error))
            self._failed = error
            self._filled.set()

    def _follow(self, follower: "Follower") -> None:
        with contextlib.closing(follower):
            while not self._ended.is_set():
                more = follower.step(SYSTEM_CLOCK.now_ms())
                if follower.filled:
                    self._filled.set()
                elif follower.trouble:
                    follower.require_copy()
                if not more:
                    self._ended.wait(FOLLOW_POLL_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""What readers of the log were last seen to have done, and how a role without an HTTP port shows that."""

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from adtally.config import Config
from adtally.errors import AdtallyError
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.wiring.threads import beside

if TYPE_CHECKING:
    from adtally.lake.archiver import ArchiverReport

SHOWN_EVERY_S: Final = 1.0


class Seen:
    """Filled in by the threads that read, and shown by another one."""

    def __init__(self, *readers: str) -> None:
        """`readers` are those whose `as_of_ms` will be told."""
        self.as_of_ms: Final[dict[str, int]] = dict.fromkeys(readers, 0)
        """Of each reader: everything appended or clicked before has been handed on; 0 while that is not known."""
        self.archiver: ArchiverReport | None = None
        self.stopped: Final[set[str]] = set()
        """Readers that stopped with an alarm and do not go on by themselves."""


@contextlib.contextmanager
def metrics_shown(folder: DataFolder, config: Config, role: str, seen: Seen) -> Iterator[None]:
    """Show a role's metrics until the block's end: at its own address, or through an API server of the same folder.

    Raises AdtallyError where the address cannot be used.
    """
    from adtally.wiring.meters import MetricsListener, ReaderCollector, remove_metrics, write_metrics

    collector = ReaderCollector(seen)
    host, port = config.telemetry.metrics_host, config.telemetry.metrics_port
    if port:
        try:
            listener = MetricsListener(host, port, folder.root, collector)
        except OSError as error:
            raise AdtallyError(
                f"{host}:{port} cannot be used ({error.strerror}): choose another telemetry.metrics_port"
            ) from None
        log.info("metrics are shown", url=f"http://{host}:{port}/-/metrics")
        with contextlib.closing(listener):
            yield
        return

    def show(ended: threading.Event) -> None:
        failed = False
        while not ended.wait(SHOWN_EVERY_S):
            try:
                write_metrics(folder, role, collector)
                failed = False
            except OSError as error:
                # A full disk: the role goes on, and the disk's own metrics tell.
                if not failed:
                    log.warning("metrics cannot be written now", error=str(error))
                failed = True

    try:
        with beside("metrics", show):
            yield
    finally:
        remove_metrics(folder, role)

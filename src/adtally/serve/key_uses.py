"""When keys were last used: gathered in memory, written beside the requests."""

import threading
from typing import Final

from adtally.clock import Clock
from adtally.errors import AdtallyError
from adtally.registry.port import Registry
from adtally.telemetry import log

WRITTEN_EVERY_S: Final = 60.0
"""All keys together: each change of the registry empties the edges' caches of ads."""

KEYS_MAX: Final = 10_000
"""Keys used within one interval beyond this are not noted in it."""


class KeyUses:
    """What was used since the last write. A registry that cannot be written costs no answer, only a line in the log."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._used_ms: dict[str, int] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, key_id: str) -> None:
        """Note that a key was used now. Never blocks."""
        with self._lock:
            if key_id in self._used_ms or len(self._used_ms) < KEYS_MAX:
                self._used_ms[key_id] = self._clock.now_ms()

    def write(self) -> None:
        """Write what was noted. Blocks."""
        with self._lock:
            used_ms, self._used_ms = self._used_ms, {}
        try:
            self._registry.note_uses(used_ms)
        except AdtallyError as error:
            log.warning("the last uses of keys could not be written", keys=len(used_ms), error=str(error))

    def start(self) -> None:
        """Write once a minute from a thread of its own, until `close`."""
        self._thread = threading.Thread(target=self._write_often, name="key-uses", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and write what is left."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.write()

    def _write_often(self) -> None:
        while not self._ended.wait(WRITTEN_EVERY_S):
            self.write()

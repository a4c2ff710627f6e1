"""How far the stream has come, as the store process last heard."""

import threading
from typing import Final

from adtally.errors import AdtallyError
from adtally.stream.port import ReportBoard, StreamReport
from adtally.stream.reports import together
from adtally.telemetry import log

ASKED_EVERY_S: Final = 1.0


class Progress:
    """Holds the stream's latest report. Set by the intake or from a board, read from any thread."""

    def __init__(self) -> None:
        self.report: StreamReport | None = None
        self.as_of_ms: int | None = None
        """Every event that is older and not late is in the live table; None until the stream has said so."""

    def update(self, report: StreamReport) -> None:
        """Take note of a report. A stream that restarted replays: what was in the table before still is."""
        self.report = report
        if report.as_of_ms > 0:
            self.as_of_ms = max(self.as_of_ms or 0, report.as_of_ms)

    def replace(self, report: StreamReport | None) -> None:
        """Take over what a board says, which remembers by itself; None when nobody has told it anything."""
        self.report = report
        # A table that was emptied goes back, and a shard that nobody counts holds all back.
        self.as_of_ms = None if report is None or report.as_of_ms == 0 else report.as_of_ms


class BoardFollower:
    """Keeps a progress as a board has it, asking in a thread of its own."""

    def __init__(self, board: ReportBoard, progress: Progress) -> None:
        self._board = board
        self._progress = progress
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="stream-reports", daemon=True)

    def look(self) -> None:
        """Ask the board now. Blocks. While it does not answer, what it said last stays."""
        try:
            self._progress.replace(together(self._board.reports()))
        except AdtallyError as error:
            log.warning("how far the streams have come is not known now", error=str(error))

    def start(self) -> None:
        """Ask once a second, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        self.look()
        while not self._ended.wait(ASKED_EVERY_S):
            self.look()

"""How far the stream has come, as the store process last heard."""

from adtally.stream.port import StreamReport


class Progress:
    """Holds the stream's latest report. Set by the intake, read from any thread."""

    def __init__(self) -> None:
        self.report: StreamReport | None = None
        self.as_of_ms: int | None = None
        """Every event that is older and not late is in the live table; None until the stream has said so."""

    def update(self, report: StreamReport) -> None:
        """Take note of a report. A stream that restarted replays: what was in the table before still is."""
        self.report = report
        if report.as_of_ms > 0:
            self.as_of_ms = max(self.as_of_ms or 0, report.as_of_ms)

"""Reports of streams, kept in memory."""

from adtally.stream.port import ShardReport, StreamReport


class MemoryReportBoard:
    """Implements ReportBoard."""

    def __init__(self) -> None:
        self.shards: dict[str, ShardReport] = {}

    def note(self, report: StreamReport) -> None:
        for shard in report.positions:
            known_ms = self.shards[shard].as_of_ms if shard in self.shards else 0
            self.shards[shard] = ShardReport(shard, max(known_ms, report.as_of_ms), report)

    def reports(self) -> list[ShardReport]:
        return [self.shards[shard] for shard in sorted(self.shards)]

    def forget(self) -> None:
        self.shards.clear()

    def close(self) -> None:
        pass

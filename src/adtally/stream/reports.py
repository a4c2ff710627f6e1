"""Makes one report of those of several streams, each of which counts some of the log's shards."""

from collections.abc import Sequence

from adtally.stream.port import ShardReport, StreamReport


def together(reports: Sequence[ShardReport]) -> StreamReport | None:
    """Give what all streams say together, None if none has said anything.

    What they hold adds up. `as_of_ms` is the smallest of all shards of the log, as the newest report names them; 0 if
    there is one of which nobody says anything.
    """
    if not reports:
        return None
    newest = max((each.report for each in reports), key=lambda report: report.reported_ms)
    awaited = newest.shards or tuple(each.shard for each in reports)
    told = {each.shard: each for each in reports if each.shard in awaited}
    groups: list[StreamReport] = []
    for each in told.values():
        # The shards of one stream have one report.
        if each.report not in groups:
            groups.append(each.report)
    return StreamReport(
        as_of_ms=min(told[shard].as_of_ms if shard in told else 0 for shard in awaited),
        reported_ms=newest.reported_ms,
        events=sum(group.events for group in groups),
        duplicates=sum(group.duplicates for group in groups),
        late=sum(group.late for group in groups),
        # All streams put them in one place.
        dead_letters=newest.dead_letters,
        dedup_entries=sum(group.dedup_entries for group in groups),
        open_cells=sum(group.open_cells for group in groups),
        positions={shard: each.report.positions[shard] for shard, each in sorted(told.items())},
        repeats=sum(group.repeats for group in groups),
        shards=newest.shards,
    )

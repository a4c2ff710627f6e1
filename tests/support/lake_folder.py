"""A lake's folder, written without the lake."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from support.plain_recount import HOUR_MS, Appended, lake_table


def write_lake(files: Sequence[Sequence[Appended]], folder: Path) -> tuple[str, ...]:
    """Write each file's events into the folders of their hours; give what was written."""
    written = []
    for number, events in enumerate(files):
        for hour in sorted({event.ts_ms // HOUR_MS for event, _ in events}):
            begins = datetime.fromtimestamp(hour * HOUR_MS // 1000, UTC)
            path = folder / f"raw/date={begins:%Y-%m-%d}/hour={begins:%H}/{number}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = lake_table(entry for entry in events if entry[0].ts_ms // HOUR_MS == hour)
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)
            written.append(str(path))
    return tuple(written)

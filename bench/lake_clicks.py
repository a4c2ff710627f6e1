"""Synthetic clicks as files of the lake, made column by column: Zipf ads, double clicks, bots, impression ids."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adtally.lake.columns import EVENT_COLUMNS
from adtally.lake.parquet import write_events

HOUR_MS = 3_600_000
START_MS = 1_795_737_600_000
"""2026-11-27T00:00:00Z"""
EDGES = 4


class Clicks(msgspec.Struct, frozen=True):
    """What the clicks are like."""

    per_hour: int
    ads: int = 100_000
    zipf: float = 1.3
    users: int = 5_000_000
    duplicate_share: float = 0.05
    bot_share: float = 0.02
    impression_share: float = 0.7
    hot_share: float = 0.0
    """Of the clicks, for one ad, beside what Zipf gives it."""
    seed: int = 1


def write_hours(folder: Path, clicks: Clicks, hours: int, files_per_hour: int = 2) -> list[str]:
    """Write `hours` hours from START_MS on, as the lake would after compaction; give the files."""
    files: list[str] = []
    for hour in range(hours):
        table = events(clicks, hour)
        begins = datetime.fromtimestamp((START_MS + hour * HOUR_MS) // 1000, UTC)
        place = folder / f"raw/date={begins:%Y-%m-%d}/hour={begins:%H}"
        place.mkdir(parents=True)
        for number in range(files_per_hour):
            begin = table.num_rows * number // files_per_hour
            end = table.num_rows * (number + 1) // files_per_hour
            part = table.slice(begin, end - begin).sort_by([("ad_id", "ascending"), ("ts_ms", "ascending")])
            path = place / f"{number}.parquet"
            write_events(part, path)
            files.append(str(path))
    return files


def events(clicks: Clicks, hour: int) -> pa.Table:
    """Give the events of one hour in the order of their times."""
    rnd = np.random.default_rng([clicks.seed, hour])
    number = clicks.per_hour
    first = int(number * (1 - clicks.duplicate_share))
    ad = (rnd.zipf(clicks.zipf, first) - 1) % clicks.ads
    ad = np.where(rnd.random(first) < clicks.hot_share, 0, ad)
    # A double click is the same click again, some seconds later; its hour is not left.
    which = np.concatenate([np.arange(first), rnd.integers(0, first, number - first)])
    after_ms = np.concatenate([np.zeros(first), rnd.exponential(3_000, number - first)]).astype(np.int64)
    ts_ms = np.minimum(rnd.integers(0, HOUR_MS, first)[which] + after_ms, HOUR_MS - 1)
    order = np.argsort(ts_ms, kind="stable")
    which, ts_ms = which[order], ts_ms[order]
    edge = rnd.integers(0, EDGES, number)
    seq = np.zeros(number, np.int64)
    for one in range(EDGES):
        mine = edge == one
        seq[mine] = hour * number + 1 + np.arange(int(mine.sum()))
    users, impressions = rnd.integers(0, clicks.users, first), rnd.integers(0, 2**63, first)
    seen, bots = rnd.random(first) < clicks.impression_share, rnd.random(first) < clicks.bot_share
    devices, browsers, networks = rnd.integers(0, 3, first), rnd.integers(0, 300, first), rnd.integers(0, 65_536, first)
    columns: dict[str, Any] = {
        "ad_id": _ids("ad_", ad[which]),
        "ts_ms": START_MS + hour * HOUR_MS + ts_ms,
        "user_id": _ids("user_", users[which]),
        "impression_id": pc.if_else(
            pa.array(seen[which]), _ids("", impressions[which], 19), pa.scalar(None, pa.string())
        ),
        "verdict": _choice(bots[which].astype(np.int8), ["ok", "bot"]),
        "device": _choice(devices[which].astype(np.int8), ["desktop", "mobile", "tablet"]),
        "campaign_id": _ids("cmp_", ad[which] // 10),
        "advertiser_id": _ids("adv_", ad[which] // 100),
        "edge_id": _choice(edge.astype(np.int8), [f"{one:032x}" for one in range(EDGES)]),
        "seq": seq,
        "append_delay_ms": rnd.integers(0, 20, number),
        "ip_prefix": _ids("10.0.0.0/", networks[which]),
        "user_agent": _ids("Mozilla/5.0 (X11; Linux x86_64) Browser/", browsers[which]),
        "referrer_host": _ids("site-", browsers[which]),
        "partition": _ids("edge-", edge),
        "offset": _ids("0000000001-", seq, 12),
        "unknown_fields": pa.nulls(number, pa.string()),
        "v": np.ones(number, np.int16),
    }
    return pa.table([columns[field.name] for field in EVENT_COLUMNS], schema=EVENT_COLUMNS)


def _ids(prefix: str, numbers: Any, width: int = 0) -> Any:  # noqa: ANN401 - numpy in, pyarrow out
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, "")


def _choice(numbers: Any, values: list[str]) -> Any:  # noqa: ANN401 - numpy in, pyarrow out
    return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(values)).cast(pa.string())

"""The recount as SQL of the ClickHouse family. Values are parameters; what is formatted in are constants of this file.

Parameters: `files` (a path with a glob), `from_ms` (where the look-back begins), `start_ms`, `end_ms`, `window_ms`,
`lateness_ms`, `buckets` and `bucket`, `passes` and `pass`, `out` (a path).
"""

from typing import Final

from adtally.reconcile.manifest import FIRST_MULTIPLIER, OFFSETS, SECOND_MULTIPLIER

_COLUMNS: Final = {
    "ad_id": "String",
    "ts_ms": "Int64",
    "user_id": "String",
    "impression_id": "Nullable(String)",
    "verdict": "String",
    "device": "String",
    "campaign_id": "String",
    "advertiser_id": "String",
    "edge_id": "String",
    "seq": "Int64",
    "append_delay_ms": "Int64",
}
"""What counting needs of lake/columns.py."""

_NAMES: Final = ", ".join(_COLUMNS)
_STRUCTURE: Final = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
_FINAL_STRUCTURE: Final = (
    "advertiser_id String, campaign_id String, ad_id String, minute_s Int64, device String, outcome String, "
    "clicks Int64, users Array(String)"
)

LAKE: Final = f"file({{files:String}}, Parquet, '{_STRUCTURE}')"
"""Files of the lake."""

LOCAL: Final = f"file({{files:String}}, Native, '{_STRUCTURE}')"
"""What SPLIT and CHOOSE_COPIES write."""

_IN_RANGE: Final = "ts_ms >= {from_ms:Int64} AND ts_ms < {end_ms:Int64}"
_BUCKET: Final = "cityHash64(ad_id, user_id) % {buckets:UInt64}"

_MINUTE: Final = "if(isNull(impression_id), intDiv(ts_ms, 60000), -1)"
_CLICK: Final = f"ad_id, user_id, impression_id, verdict, {_MINUTE}"
"""What events of one click share; verdicts are in it so that others than `ok` stay apart, copies of theirs together."""

_CLICK_HASH: Final = f"cityHash64(ad_id, user_id, ifNull(impression_id, ''), verdict, {_MINUTE})"


def fold(source: str) -> str:
    """Give the statement that counts one bucket of `source` (LAKE or LOCAL) and writes its cells to `out`.

    Most clicks have one event, which is counted without more. The others are found by a 64-bit hash, and then told
    apart by the click itself: a collision of hashes makes work, never a wrong number. Theirs are sorted, which may
    spill to disk, and looked at one by one: a copy of an event stands right behind it, and whether an event is a
    duplicate depends on the one before it alone, copy or not, since copies have the same time.
    """
    bucket = (
        f"SELECT {_NAMES}, {_CLICK_HASH} AS click FROM {source} WHERE {_IN_RANGE} AND {_BUCKET} = {{bucket:UInt64}}"
    )
    repeated = f"SELECT click FROM ({bucket}) GROUP BY click HAVING count() > 1"
    cell = "advertiser_id, campaign_id, ad_id, ts_ms, device, user_id"
    return f"""
INSERT INTO FUNCTION file({{out:String}}, Parquet, '{_FINAL_STRUCTURE}')
WITH repeated AS ({repeated})
SELECT advertiser_id, campaign_id, ad_id, intDiv(ts_ms, 60000) * 60 AS minute_s, device, outcome,
    toInt64(count()) AS clicks, groupUniqArrayIf(user_id, outcome = 'counted') AS users
FROM (
    SELECT {cell}, if(verdict = 'ok', 'counted', verdict) AS outcome
    FROM ({bucket}) WHERE click NOT IN repeated
    UNION ALL
    SELECT {cell},
        multiIf(verdict != 'ok', verdict, ts_ms - before_ms < {{window_ms:Int64}}, 'duplicate', 'counted') AS outcome
    FROM (
        SELECT *,
            lagInFrame(ts_ms, 1, -9000000000000000) OVER same_click AS before_ms,
            lagInFrame(edge_id, 1, '') OVER same_click AS before_edge_id,
            lagInFrame(seq, 1, -1) OVER same_click AS before_seq
        FROM ({bucket}) WHERE click IN repeated
        WINDOW same_click AS (
            PARTITION BY {_CLICK}
            ORDER BY ts_ms, edge_id, seq, append_delay_ms, device, campaign_id, advertiser_id
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
        )
    )
    WHERE NOT (edge_id = before_edge_id AND seq = before_seq)
)
WHERE ts_ms >= {{start_ms:Int64}}
GROUP BY advertiser_id, campaign_id, ad_id, minute_s, device, outcome
"""


SPLIT: Final = f"""
INSERT INTO FUNCTION file({{out:String}}, Native, '{_STRUCTURE}')
PARTITION BY {_BUCKET}
SELECT {_NAMES} FROM {LAKE} WHERE {_IN_RANGE}
"""
"""Writes a file for each bucket; `{_partition_id}` in `out` becomes its number."""

CHOOSE_COPIES: Final = f"""
INSERT INTO FUNCTION file({{out:String}}, Native, '{_STRUCTURE}')
SELECT chosen.6 AS ad_id, chosen.1 AS ts_ms, chosen.7 AS user_id, if(chosen.8, NULL, chosen.9) AS impression_id,
    chosen.10 AS verdict, chosen.3 AS device, chosen.4 AS campaign_id, chosen.5 AS advertiser_id, edge_id, seq,
    chosen.2 AS append_delay_ms
FROM (
    SELECT edge_id, seq, min(tuple(ts_ms, append_delay_ms, device, campaign_id, advertiser_id, ad_id, user_id,
        isNull(impression_id), ifNull(impression_id, ''), verdict)) AS chosen
    FROM {LAKE} WHERE {_IN_RANGE}
    GROUP BY intDiv(ts_ms, 3600000), edge_id, seq
)
"""
"""Writes the range's events with one content for each (edge_id, seq) of an hour: the smallest."""


def _lane(offset: int) -> str:
    return (
        f"arraySum(n -> bitXor(n, bitShiftRight(n, 31)), arrayMap(n -> bitXor(n, bitShiftRight(n, 27)) * "
        f"{SECOND_MULTIPLIER}, arrayMap(n -> bitXor(n, bitShiftRight(n, 30)) * {FIRST_MULTIPLIER}, "
        f"arrayMap(n -> n + {offset}, seqs))))"
    )


def _edges(source: str) -> str:
    """Give each edge's distinct events of each hour from rows of `hour`, edge_id, seq and append_delay_ms."""
    return f"""
SELECT hour, edge_id, sum(length(seqs)) AS events, min(seqs[1]) AS first_seq, max(seqs[-1]) AS last_seq,
    sum({_lane(OFFSETS[0])}) AS first_lane, sum({_lane(OFFSETS[1])}) AS second_lane, sum(late) AS late
FROM (
    SELECT hour, edge_id, arraySort(bitmapToArray(bitmapOr(on_time, delayed))) AS seqs,
        bitmapAndnotCardinality(delayed, on_time) AS late
    FROM (
        SELECT hour, edge_id, intDiv(seq, 65536) AS block,
            groupBitmapStateIf(toUInt64(seq), append_delay_ms <= {{lateness_ms:Int64}}) AS on_time,
            groupBitmapStateIf(toUInt64(seq), append_delay_ms > {{lateness_ms:Int64}}) AS delayed
        FROM ({source})
        WHERE intDiv(seq, 65536) % {{passes:Int64}} = {{pass:Int64}}
        GROUP BY hour, edge_id, block
    )
)
GROUP BY hour, edge_id
ORDER BY hour, edge_id
"""


HOURS: Final = _edges(
    f"SELECT intDiv(ts_ms, 3600000) AS hour, edge_id, seq, append_delay_ms FROM {LAKE} "
    "WHERE ts_ms >= {start_ms:Int64} AND ts_ms < {end_ms:Int64}"
)
"""Each hour's edges."""

WINDOWS: Final = _edges(
    f"SELECT arrayJoin(range(intDiv(ts_ms, 3600000) + 1, intDiv(ts_ms + {{window_ms:Int64}}, 3600000) + 1)) AS hour, "
    f"edge_id, seq, append_delay_ms FROM {LAKE} WHERE {_IN_RANGE} "
    "AND intDiv(ts_ms + {window_ms:Int64}, 3600000) > intDiv(ts_ms, 3600000)"
)
"""For each hour, the edges of the window before it; hours outside [start_ms, end_ms) too, incompletely."""

OUTCOMES: Final = f"""
SELECT intDiv(minute_s, 3600) AS hour, outcome, sum(clicks)
FROM file({{files:String}}, Parquet, '{_FINAL_STRUCTURE}')
GROUP BY hour, outcome
"""
"""Events by hour and outcome of files that a fold wrote."""

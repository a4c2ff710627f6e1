"""The recount as Spark's SQL. Values are parameters; what is formatted in are constants of this file.

Parameters: `from_ms` (where the look-back begins), `start_ms`, `end_ms`, `window_ms`, `lateness_ms`, `buckets` and
`bucket`. Views: `lake`, the files of the lake, and for a fold `events`: RANGE or CHOSEN.

Text is compared by its bytes, as chDB does it.
"""

from typing import Final

from adtally.reconcile.manifest import FIRST_MULTIPLIER, OFFSETS, SECOND_MULTIPLIER

COLUMNS: Final = {
    "ad_id": "string",
    "ts_ms": "bigint",
    "user_id": "string",
    "impression_id": "string",
    "verdict": "string",
    "device": "string",
    "campaign_id": "string",
    "advertiser_id": "string",
    "edge_id": "string",
    "seq": "bigint",
    "append_delay_ms": "bigint",
}
"""What counting needs of lake/columns.py."""

_NAMES: Final = ", ".join(COLUMNS)

ROWS: Final = "SELECT count(seq) AS rows FROM lake"
"""As many as the files hold: of a column, since a mere number of rows would come from footers."""

RANGE: Final = f"SELECT {_NAMES} FROM lake WHERE ts_ms >= :from_ms AND ts_ms < :end_ms"
"""The events of a range of hours, copies and all."""

_CHOICE: Final = (
    "ts_ms, append_delay_ms, device, campaign_id, advertiser_id, ad_id, user_id, "
    "impression_id IS NULL AS no_impression, coalesce(impression_id, '') AS impression_id, verdict"
)

CHOSEN: Final = f"""
SELECT chosen.ad_id, chosen.ts_ms, chosen.user_id,
    if(chosen.no_impression, NULL, chosen.impression_id) AS impression_id, chosen.verdict, chosen.device,
    chosen.campaign_id, chosen.advertiser_id, edge_id, seq, chosen.append_delay_ms
FROM (
    SELECT edge_id, seq, min(struct({_CHOICE})) AS chosen
    FROM ({RANGE}) GROUP BY ts_ms DIV 3600000, edge_id, seq
)
"""
"""The range's events with one content for each (edge_id, seq) of an hour: the smallest."""

FOLD: Final = """
WITH bucket AS (
    SELECT *, if(impression_id IS NULL, ts_ms DIV 60000, -1) AS click_minute
    FROM events WHERE pmod(xxhash64(ad_id, user_id), :buckets) = :bucket
),
ordered AS (
    SELECT *, lag(ts_ms) OVER same_click AS before_ms, lag(edge_id) OVER same_click AS before_edge_id,
        lag(seq) OVER same_click AS before_seq
    FROM bucket
    WINDOW same_click AS (
        PARTITION BY ad_id, user_id, impression_id, verdict, click_minute
        ORDER BY ts_ms, edge_id, seq, append_delay_ms, device, campaign_id, advertiser_id
    )
),
judged AS (
    SELECT advertiser_id, campaign_id, ad_id, ts_ms DIV 60000 * 60 AS minute_s, device, user_id,
        CASE WHEN verdict <> 'ok' THEN verdict
            WHEN before_ms IS NOT NULL AND ts_ms - before_ms < :window_ms THEN 'duplicate'
            ELSE 'counted' END AS outcome
    FROM ordered
    WHERE ts_ms >= :start_ms AND NOT (edge_id <=> before_edge_id AND seq <=> before_seq)
)
SELECT advertiser_id, campaign_id, ad_id, minute_s, device, outcome, count(*) AS clicks,
    collect_set(if(outcome = 'counted', user_id, NULL)) AS users
FROM judged GROUP BY advertiser_id, campaign_id, ad_id, minute_s, device, outcome
"""
"""The cells of one bucket of `events`.

The events of one click are sorted: a copy of an event stands right behind it, and whether an event is a duplicate
depends on the one before it alone, copy or not, since copies have the same time.
"""


def _signed(number: int) -> int:
    """Give what a number of 64 bits is where the first one is the sign."""
    return number - (1 << 64) if number >> 63 else number


def _lane(offset: int) -> str:
    mixed = f"(seq + {_signed(offset)}L)"
    for shift, multiplier in ((30, FIRST_MULTIPLIER), (27, SECOND_MULTIPLIER)):
        mixed = f"(({mixed} ^ shiftrightunsigned({mixed}, {shift})) * {_signed(multiplier)}L)"
    return f"sum({mixed} ^ shiftrightunsigned({mixed}, 31))"


HOURS: Final = f"""
SELECT hour, own, edge_id, count(*) AS events, min(seq) AS first_seq, max(seq) AS last_seq,
    {_lane(OFFSETS[0])} AS first_lane, {_lane(OFFSETS[1])} AS second_lane,
    sum(if(append_delay_ms > :lateness_ms, 1, 0)) AS late
FROM (
    SELECT hour, hour = ts_hour AS own, edge_id, seq, min(append_delay_ms) AS append_delay_ms
    FROM (
        SELECT explode(sequence(ts_ms DIV 3600000, (ts_ms + :window_ms) DIV 3600000)) AS hour,
            ts_ms DIV 3600000 AS ts_hour, edge_id, seq, append_delay_ms
        FROM lake WHERE ts_ms >= :from_ms AND ts_ms < :end_ms
    )
    WHERE hour * 3600000 >= :start_ms AND hour * 3600000 < :end_ms
    GROUP BY hour, hour = ts_hour, edge_id, seq
)
GROUP BY hour, own, edge_id
ORDER BY hour, own, edge_id
"""
"""Each hour's own edges, and those of the window before it: an event belongs to its hour, and to the hours after it
whose look-back reaches it."""

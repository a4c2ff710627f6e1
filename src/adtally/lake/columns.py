"""The columns of a file of raw events (design section 4). `click_id` is not stored: it follows from the rest."""

from typing import Final

import pyarrow as pa

EVENT_COLUMNS: Final = pa.schema(
    [
        pa.field("ad_id", pa.string(), nullable=False),
        pa.field("ts_ms", pa.int64(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("impression_id", pa.string()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("campaign_id", pa.string(), nullable=False),
        pa.field("advertiser_id", pa.string(), nullable=False),
        pa.field("edge_id", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        # Milliseconds from ts_ms to the append; by it an event is late. Small numbers, where the time itself is not.
        pa.field("append_delay_ms", pa.int64(), nullable=False),
        pa.field("ip_prefix", pa.string(), nullable=False),
        pa.field("user_agent", pa.string(), nullable=False),
        pa.field("referrer_host", pa.string()),
        pa.field("partition", pa.string(), nullable=False),
        pa.field("offset", pa.string(), nullable=False),
        # The fields of the event that this version does not know, as one JSON object.
        pa.field("unknown_fields", pa.string()),
        pa.field("v", pa.int16(), nullable=False),
    ]
)

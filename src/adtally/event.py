"""What the event log holds: click events, and the control records that make loss visible (design section 4)."""

from typing import Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1

Verdict = Literal["ok", "head", "prefetch", "bot", "paused_ad"]
"""What an edge made of a request. Only `ok` events can become clicks; the others are kept and reported."""

Device = Literal["desktop", "mobile", "tablet", "bot", "other"]

VERDICTS: Final[tuple[Verdict, ...]] = ("ok", "head", "prefetch", "bot", "paused_ad")
DEVICES: Final[tuple[Device, ...]] = ("desktop", "mobile", "tablet", "bot", "other")


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One recorded request, as one JSON object in the log.

    `(edge_id, seq)` is its identity: `edge_id` is random and new at each start of an edge worker, `seq` counts from 1
    without gaps. `ts_ms` is UTC epoch milliseconds and never decreases within an `edge_id`, but for imported history,
    where `edge_id` and `seq` follow from the file and the row, and times are as they come. `ip_prefix` is the IPv4 /24
    or IPv6 /48 of the client, never the whole address.
    """

    edge_id: str
    seq: int
    ts_ms: int
    ad_id: str
    campaign_id: str
    advertiser_id: str
    user_id: str
    device: str
    verdict: str
    ip_prefix: str
    user_agent: str
    impression_id: str | None = None
    referrer_host: str | None = None
    v: int = SCHEMA_VERSION


class Opening(msgspec.Struct, frozen=True, tag="opening", tag_field="record"):
    """First record of a log partition's new segment: no later event of `edge_id` is older than `ts_ms`.

    In a partition of imports (eventlog/port.py) `ts_ms` is the time of the import, and its events are older.
    """

    edge_id: str
    ts_ms: int


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat", tag_field="record"):
    """A promise by `edge_id`: all events up to `last_seq` were numbered, none that follows is older than `ts_ms`."""

    edge_id: str
    last_seq: int
    ts_ms: int
    oldest_spooled_ts_ms: int | None = None


class Closing(msgspec.Struct, frozen=True, tag="closing", tag_field="record"):
    """`edge_id` ended with `last_seq`; written by itself, or by its successor from what the log holds.

    `retired` says that no successor follows for now: readers need not wait for this partition.
    """

    edge_id: str
    last_seq: int
    ts_ms: int
    retired: bool = False


class Lost(msgspec.Struct, frozen=True, tag="lost", tag_field="record"):
    """Numbers `first_seq` to `last_seq` (inclusive) could not be kept; their 302s carried `X-Click-Recorded: false`."""

    edge_id: str
    first_seq: int
    last_seq: int
    ts_ms: int


Control = Opening | Heartbeat | Closing | Lost

encode_event: Final = msgspec.json.Encoder().encode
"""An Event as one line of JSON without its line end."""

encode_control: Final = msgspec.json.Encoder().encode
decode_control: Final = msgspec.json.Decoder(Control).decode
decode_event: Final = msgspec.json.Decoder(Event).decode
decode_event_lines: Final = msgspec.json.Decoder(Event).decode_lines
"""A batch's payload (JSON objects joined by line feeds) as a list of Events; raises msgspec.MsgspecError."""

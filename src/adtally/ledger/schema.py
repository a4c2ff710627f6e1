"""The ledger's tables as SQLAlchemy Core sees them; the numbered migrations make them."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, MetaData, SmallInteger, Table, Text

MIGRATIONS: Final = Path(__file__).with_name("migrations")

metadata: Final = MetaData()


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


latest: Final = Table("latest", metadata, _text("name", key=True), _number("value"))

archive: Final = Table("archive", metadata, _text("partition", key=True), _text("position"), _number("passed_ms"))

mark: Final = Table(
    "mark",
    metadata,
    # In the order of ledger.port.EdgeMark, so that a row is the arguments of one; so are the others' columns.
    _text("edge_id", key=True),
    _number("hour_ms", key=True),
    _text("partition"),
    _number("last_seq"),
    _number("ts_ms"),
    Column("closed", SmallInteger, nullable=False),
    Column("oldest_spooled_ts_ms", BigInteger),
)

absence: Final = Table(
    "absence",
    metadata,
    _text("edge_id", key=True),
    _number("first_seq", key=True),
    _number("last_seq", key=True),
    _text("reason"),
    _number("ts_ms"),
)

line: Final = Table(
    "line",
    metadata,
    _number("commit", key=True),
    _number("hour_ms"),
    _text("kind"),
    _text("state"),
    _number("revision"),
    _number("events"),
    _text("hash"),
    _number("window_events"),
    _text("window_hash"),
    _text("files"),
    _text("previous"),
    _text("final"),
    _number("keys_differed"),
    _number("difference"),
    _number("missing"),
    _number("late"),
    _text("rules"),
    _text("engine"),
    _number("started_ms"),
    _number("finished_ms"),
    _text("note"),
)

changed: Final = Table(
    "changed", metadata, _number("commit", key=True), _number("first_index", key=True), _text("cells")
)

prepared: Final = Table("prepared", metadata, _number("hour_ms", key=True), _text("document"))

prepared_changed: Final = Table(
    "prepared_changed", metadata, _number("hour_ms", key=True), _number("first_index", key=True), _text("cells")
)

hour_edge: Final = Table(
    "hour_edge",
    metadata,
    _number("hour_ms", key=True),
    _text("edge_id", key=True),
    _number("first_seq"),
    _number("last_seq"),
    _number("events"),
    _text("hash"),
)

span: Final = Table(
    "span",
    metadata,
    _text("grain", key=True),
    _number("start_ms", key=True),
    _number("row_count"),
    _number("events"),
)

reconcile_request: Final = Table(
    "reconcile_request",
    metadata,
    _number("number", key=True),
    Column("finished", SmallInteger, nullable=False),
    _text("document"),
)
stream_report: Final = Table("stream_report", metadata, _text("shard", key=True), _number("as_of_ms"), _text("report"))

"""The store itself: rows go to their advertiser's shard, answers come from one shard or from all of them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from typing import Any, Final, Literal, TypeVar

from adtally.errors import ConfigError, StoreQueryError
from adtally.olap.clickhouse import everywhere
from adtally.olap.clickhouse.connection import Login
from adtally.olap.clickhouse.rows import file_inserts, live_inserts
from adtally.olap.clickhouse.shard import Shard
from adtally.olap.clickhouse_sql import answer_rows, compile_query
from adtally.olap.port import AggregateQuery, AggregateRow, CellDifference, Differences, Grain, LiveRows, Span
from adtally.olap.sharding import shard_of

TIMEOUT_S: Final = 30.0
"""How long a question or an append may take."""

_MIGRATIONS_AT_ONCE: Final = 10

T = TypeVar("T")


class ClickHouseStore:
    """Implements OlapWriter, OlapReader and OlapAdmin.

    Each advertiser lies on one shard, so its questions go there; those of everyone go to all shards, by way of one of
    them, and fail if one fails.
    """

    def __init__(
        self,
        urls: Sequence[str],
        user: str,
        password: str,
        *,
        database: str,
        memory_bytes_max: int,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not urls:
            raise ConfigError("olap.urls: name a server for each shard")
        if not database.isidentifier() or not database.isascii():
            raise ConfigError(f"olap.database: {database!r} is no plain name of letters, digits and _")
        logins = [Login(url.rstrip("/"), user, password) for url in urls]
        self._shards = [Shard(login, database, memory_bytes_max, timeout_s) for login in logins]
        self._database = database
        self._turns = cycle(self._shards)
        self._threads = ThreadPoolExecutor(len(self._shards), "olap-shard")

    def migrate(self) -> int:
        """Bring the schema to this version's number, which it gives.

        Raises DataFolderError if a server's is newer, ConfigError if the servers are not the shards that they were.
        """
        for _ in range(_MIGRATIONS_AT_ONCE):
            # Roles start together, and what one is about to make or drop another one has just made or dropped. All may
            # be repeated, and each time somebody gets further.
            with suppress(StoreQueryError):
                return self._migrate()
        return self._migrate()

    def ping(self) -> None:
        """Return if every server answers."""
        self._each(lambda shard: shard.run("SELECT 1"))

    def append_live(self, rows: LiveRows) -> None:
        """Merge rows into the live tables."""
        for number, lines in live_inserts(rows, len(self._shards)):
            self._shards[number].append_live(lines)

    def drop_live_before(self, ts_ms: int) -> None:
        """Drop whole hours of the live tables that end at or before `ts_ms`."""
        self._each(lambda shard: shard.drop_before("live", ts_ms))

    def stage(self, files: Sequence[str]) -> None:
        """Put recounted minutes in the place of what was staged before."""
        self._each(Shard.begin_staging)
        brought = set()
        for number, lines in file_inserts(files, len(self._shards)):
            self._shards[number].add_recounted(lines)
            brought.add(number)
        self._each(lambda shard: shard.end_staging() if self._shards.index(shard) in brought else None)

    def staged_differences(
        self, start_ms: int, end_ms: int, against: Literal["live", "minute"], limit: int
    ) -> Differences:
        """Compare the staged minutes of a range with a table's, cell by cell, listed in the order of their fields."""
        found = self._each(lambda shard: shard.staged_differences(start_ms, end_ms, against, limit))
        listed = sorted((one for each in found for one in each.listed), key=_order)
        return Differences(sum(one.cells for one in found), sum(one.events for one in found), tuple(listed[:limit]))

    def publish_hours(self, hours_ms: Sequence[int]) -> list[Span]:
        """Replace the final minutes of some hours of one UTC day by the staged ones, and their quarter hours."""
        return _added(self._each(lambda shard: shard.publish_hours(hours_ms)))

    def publish_day(self, day_ms: int) -> Span:
        """Replace a UTC day of the day table by what its quarter hours give."""
        return _added([[span] for span in self._each(lambda shard: shard.publish_day(day_ms))])[0]

    def publish_month(self, month_ms: int) -> Span:
        """Replace a UTC month of the month table by what its days give."""
        return _added([[span] for span in self._each(lambda shard: shard.publish_month(month_ms))])[0]

    def drop_final_before(self, grain: Grain, ts_ms: int) -> None:
        """Drop whole partitions of a final table that end at or before `ts_ms`."""
        self._each(lambda shard: shard.drop_before(grain, ts_ms))

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        """Give what a final table's partitions that begin in a range hold."""
        added = _added(self._each(lambda shard: shard.spans(grain, start_ms, end_ms)))
        return sorted(added, key=lambda span: span.start_ms)

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        """Answer a query from the tables that it names."""
        database = self._database
        if isinstance(query.tenant, str) or len(self._shards) == 1:
            shard = self._shards[shard_of(query.tenant, len(self._shards)) if isinstance(query.tenant, str) else 0]
        else:
            shard, database = next(self._turns), everywhere.name_of(database)
        statement = compile_query(query, database)
        return answer_rows(query, shard.run(statement.sql, statement.parameters))

    def close(self) -> None:
        """Close all connections; other threads must have finished."""
        self._threads.shutdown()
        for shard in self._shards:
            shard.close()

    def _migrate(self) -> int:
        version = min(shard.migrate(number, len(self._shards)) for number, shard in enumerate(self._shards))
        if len(self._shards) > 1:
            everywhere.declare(self._shards, self._database)
        return version

    def _each(self, do: Callable[[Shard], T]) -> list[T]:
        """Do it on all shards at once, and give what each gives; raises what one of them raises, when all are done."""
        if len(self._shards) == 1:
            return [do(self._shards[0])]
        started = [self._threads.submit(do, shard) for shard in self._shards]
        failed = [error for one in started if (error := one.exception()) is not None]
        if failed:
            raise failed[0]
        return [one.result() for one in started]

    def _run(self, sql: str) -> list[list[Any]]:
        """Run any statement on all shards and give all rows: for tests that look behind the port."""
        return [row for shard in self._shards for row in shard.run(sql)]


def _order(found: CellDifference) -> tuple[str, str, str, int, str, str]:
    return (found.advertiser_id, found.campaign_id, found.ad_id, found.minute_s, found.device, found.outcome)


def _added(found: Sequence[Sequence[Span]]) -> list[Span]:
    """Add up the spans of the shards, in the order in which they first come."""
    held: dict[tuple[Grain, int], tuple[int, int]] = {}
    for span in (span for spans in found for span in spans):
        rows, events = held.get((span.grain, span.start_ms), (0, 0))
        held[span.grain, span.start_ms] = (rows + span.rows, events + span.events)
    return [Span(*key, *counted) for key, counted in held.items()]

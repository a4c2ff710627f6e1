"""Recounts by Spark: cuts a job into what the driver can hold, and writes what executors hand over.

Time is cut into chunks of whole hours, an hour that is too large into buckets of (ad_id, user_id), in which all events
of one click meet. Executors sort and spill by themselves; what is bounded here is the driver.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from adtally.errors import LakeDamagedError, RecountError
from adtally.lake.address import is_address
from adtally.ledger.port import EdgeEvents
from adtally.reconcile import footers
from adtally.reconcile.answering import memory_bytes_peak
from adtally.reconcile.footers import SourceFile
from adtally.reconcile.locations import Locations
from adtally.reconcile.manifest import lanes_hash, manifest
from adtally.reconcile.messages import Reply
from adtally.reconcile.port import HourCount
from adtally.reconcile.spark import statements
from adtally.reconcile.spark.messages import Request
from adtally.utc import HOUR_MS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROW_BYTES: Final = 400
"""So much of the memory is allowed for each row of a fold: a cell with one user takes up to 200 as Arrow, and so much
again while it is written."""
ROWS_MIN: Final = 100_000
PARTITION_ROWS: Final = 250_000
"""Of one task; it sorts about 50 MB."""

CELLS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("advertiser_id", "campaign_id", "ad_id")),
        pa.field("minute_s", pa.int64()),
        pa.field("device", pa.string()),
        pa.field("outcome", pa.string()),
        pa.field("clicks", pa.int64()),
        pa.field("users", pa.list_(pa.string())),
    ]
)
"""olap/port.py's FINAL_COLUMNS."""

_PATTERN: Final = re.compile(r"([\\{}\[\]*?])")
_SCHEMA: Final = ", ".join(f"{name} {kind}" for name, kind in statements.COLUMNS.items())
_NAMED: Final = re.compile(r"reading file ((?:file|s3a):\S+)")
_REASON_CHARACTERS: Final = 600

Values = dict[str, int]


class Engine:
    """Does one job. Raises LakeFileGoneError, LakeDamagedError, RecountError."""

    def __init__(self, session: "SparkSession", request: Request) -> None:
        self._session = session
        self._job = request.job
        self._wanted = request.count
        self._folder = Path(request.job.folder)
        self._locations = Locations(request.s3)
        self._results: list[str] = []
        self._rows_max = request.cluster.rows_max or max(ROWS_MIN, request.job.memory_bytes_max // ROW_BYTES)
        self._sources = footers.inspect(request.job.files, self._locations)

    def run(self) -> Reply:
        """Do the job, with or without counting."""
        try:
            hours: dict[int, HourCount] = {}
            for start_ms, end_ms in footers.chunks(self._sources, self._job, self._rows_max):
                hours |= self._chunk(start_ms, end_ms)
        except (PySparkException, Py4JError) as error:
            raise self._translated(error) from None
        pids = ("self", *_children())
        return Reply(hours, tuple(self._results), f"Spark {self._session.version}", memory_bytes_peak(pids))

    def _translated(self, error: Exception) -> RecountError | LakeDamagedError:
        """Tell what is wrong with a file, if one is the reason. Raises LakeFileGoneError and LakeDamagedError."""
        for source in self._sources:
            footers.verify(source.path, self._locations)
        reason = str(error)[:_REASON_CHARACTERS].replace("\n", " ")
        # A footer that Arrow can live with and Spark cannot.
        named = _NAMED.search(str(error))
        for source in self._sources if named is not None else ():
            if named is not None and Path(named[1].rstrip(".")).name == Path(source.path).name:
                return LakeDamagedError(source.path, reason)
        return RecountError(f"Spark could not count: {reason}")

    def _chunk(self, start_ms: int, end_ms: int) -> dict[int, HourCount]:
        rules = self._job.rules
        values: Values = {
            "from_ms": start_ms - rules.dedup_window_ms,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "window_ms": rules.dedup_window_ms,
            "lateness_ms": rules.lateness_ms,
        }
        touching = [source for source in self._sources if source.touches(values["from_ms"], end_ms)]
        if not touching:
            return {hour: _hour_count((), (), 0) for hour in range(start_ms, end_ms, HOUR_MS)}
        rows = sum(source.rows for source in touching)
        self._session.conf.set("spark.sql.shuffle.partitions", str(1 + rows // PARTITION_ROWS))
        self._read(touching).createOrReplaceTempView("lake")
        seen = self._session.sql(statements.ROWS).collect()[0]["rows"]
        # By a damaged footer a reader may pass over a part of a file.
        if seen != rows:
            raise RecountError(f"Spark reads {seen} rows of files that hold {rows}: see whether one of them is damaged")
        hours = self._manifests(values)
        return self._count(values, hours) if self._wanted else hours

    def _read(self, sources: Sequence[SourceFile]) -> "DataFrame":
        paths = [_PATTERN.sub(r"\\\1", _hadoop_path(source.path)) for source in sources]
        return self._session.read.schema(_SCHEMA).option("parquet.page.verify-checksum.enabled", "true").parquet(*paths)

    def _manifests(self, values: Values) -> dict[int, HourCount]:
        edges: dict[tuple[int, bool], list[EdgeEvents]] = {}
        late: dict[int, int] = {}
        for row in self._session.sql(statements.HOURS, args=values).collect():
            hour_ms = row["hour"] * HOUR_MS
            found = EdgeEvents(
                row["edge_id"],
                row["first_seq"],
                row["last_seq"],
                row["events"],
                lanes_hash(row["first_lane"], row["second_lane"]),
            )
            edges.setdefault((hour_ms, row["own"]), []).append(found)
            if row["own"]:
                late[hour_ms] = late.get(hour_ms, 0) + row["late"]
        return {
            hour: _hour_count(edges.get((hour, True), ()), edges.get((hour, False), ()), late.get(hour, 0))
            for hour in range(values["start_ms"], values["end_ms"], HOUR_MS)
        }

    def _count(self, values: Values, hours: Mapping[int, HourCount]) -> dict[int, HourCount]:
        """Fold a chunk, and give its hours with what became of their events."""
        outcomes = self._fold(statements.RANGE, values, "lake")
        if any(sum(outcomes[hour].values()) != hours[hour].manifest.events for hour in hours):
            # Some (edge_id, seq) has copies that differ, which is a defect somewhere: they did not meet. One is chosen.
            outcomes = self._fold(statements.CHOSEN, values, "chosen")
        for hour, counted in hours.items():
            if sum(outcomes[hour].values()) != counted.manifest.events:
                raise RecountError(
                    f"hour {hour}: {counted.manifest.events} events were found and {outcomes[hour]} counted; this is a "
                    "defect of adtally"
                )
        return {hour: msgspec.structs.replace(counted, outcomes=outcomes[hour]) for hour, counted in hours.items()}

    def _fold(self, source: str, values: Values, name: str) -> dict[int, dict[str, int]]:
        """Fold all buckets of a chunk into result files, in the place of an earlier attempt's; give its outcomes."""
        begin = f"minutes-{values['start_ms']}-"
        self._results = [path for path in self._results if not Path(path).name.startswith(begin)]
        outcomes: dict[int, dict[str, int]] = {
            hour: {} for hour in range(values["start_ms"], values["end_ms"], HOUR_MS)
        }
        buckets = max(1, -(-footers.rows_of(self._sources, values["from_ms"], values["end_ms"]) // self._rows_max))
        self._session.sql(source, args=values).createOrReplaceTempView("events")
        for bucket in range(buckets):
            asked = {**values, "buckets": buckets, "bucket": bucket}
            cells = self._session.sql(statements.FOLD, args=asked).toArrow().cast(CELLS)
            if len(cells):
                path = self._folder / f"{begin}{name}-{bucket}.parquet"
                pq.write_table(cells, path, compression="zstd")
                self._results.append(str(path))
                _add_outcomes(cells, outcomes)
        return outcomes


def _add_outcomes(cells: pa.Table, outcomes: Mapping[int, dict[str, int]]) -> None:
    hours = pc.multiply(pc.divide(cells["minute_s"], HOUR_MS // 1000), HOUR_MS)
    counted = pa.table({"hour": hours, "outcome": cells["outcome"], "clicks": cells["clicks"]})
    for row in counted.group_by(["hour", "outcome"]).aggregate([("clicks", "sum")]).to_pylist():
        of_hour = outcomes[row["hour"]]
        of_hour[row["outcome"]] = of_hour.get(row["outcome"], 0) + row["clicks_sum"]


def _hour_count(edges: Sequence[EdgeEvents], before: Sequence[EdgeEvents], late: int) -> HourCount:
    return HourCount(manifest(edges, before), {}, late, tuple(edges))


def _hadoop_path(location: str) -> str:
    return "s3a" + location.removeprefix("s3") if is_address(location) else f"file://{Path(location).absolute()}"


def _children() -> list[Any]:
    """Give the processes that this one started: the driver's JVM."""
    found = Path(f"/proc/self/task/{Path('/proc/self').resolve().name}/children")
    return found.read_text(encoding="utf-8").split() if found.exists() else []

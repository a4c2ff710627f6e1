"""Recounts in this process, by chDB on a folder of its own; the recounter runs it in a child.

Time is cut into chunks of whole hours that the memory holds. An hour that it does not hold goes by buckets of (ad_id,
user_id), in which all events of one click meet. What does not fit all the same is spilled to disk by chDB.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import chdb
import msgspec

from adtally.errors import LakeDamagedError, LakeFileGoneError, RecountError
from adtally.lake.address import S3Access, is_address
from adtally.ledger.port import EdgeEvents
from adtally.reconcile import footers
from adtally.reconcile.answering import memory_bytes_peak
from adtally.reconcile.chdb import statements
from adtally.reconcile.chdb.messages import ROW_BYTES, ROWS_MIN, Tuning
from adtally.reconcile.footers import SourceFile
from adtally.reconcile.locations import Locations
from adtally.reconcile.manifest import lanes_hash, manifest
from adtally.reconcile.messages import Reply
from adtally.reconcile.port import HourCount, RecountJob
from adtally.utc import HOUR_MS

_PASS_ROW_BYTES: Final = 128
"""What a manifest takes for each event of one pass."""

_IN_FILE: Final = re.compile(r"in file/uri (\S+?\.parquet)\)")

_GLOB: Final = frozenset("*?{}")

_SETTINGS: Final = {
    # A footer's statistics have no checksum: a flipped bit in them must not hide rows.
    "input_format_parquet_filter_push_down": 0,
    "input_format_parquet_page_filter_push_down": 0,
    "input_format_parquet_bloom_filter_push_down": 0,
    "input_format_parquet_dictionary_filter_push_down": 0,
    "input_format_parquet_use_offset_index": 0,
    "input_format_parquet_allow_missing_columns": 0,
    "input_format_parquet_verify_checksums": 1,
    # A file may be replaced by another of its name.
    "use_parquet_metadata_cache": 0,
    # The results are read once, on this host.
    "output_format_parquet_write_bloom_filter": 0,
    "output_format_parquet_write_page_index": 0,
    "max_partitions_per_insert_block": 0,
    "max_bytes_ratio_before_external_group_by": 0,
    "max_bytes_ratio_before_external_sort": 0,
}

Parameters = dict[str, str | int]

_decode_rows = msgspec.json.Decoder(list[Any]).decode_lines


class Engine:
    """Does one job. Raises LakeFileGoneError, LakeDamagedError, RecountError."""

    def __init__(self, job: RecountJob, tuning: Tuning, s3: S3Access | None) -> None:
        self._job = job
        self._tuning = tuning
        self._folder = Path(job.folder)
        self._locations = Locations(s3)
        self._results: list[str] = []
        self._linked: dict[str, str] = {}
        """The lake's file behind each link."""
        self._rows_max = tuning.rows_max or max(ROWS_MIN, job.memory_bytes_max // ROW_BYTES)
        if _GLOB & set(job.folder):
            raise RecountError(
                f"{job.folder}: chDB takes {' '.join(sorted(_GLOB))} in a path for patterns; use another folder"
            )
        self._sources = footers.inspect(job.files, self._locations)
        self._connection = chdb.connect(str(self._folder / "chdb"))
        try:
            self._configure()
        except BaseException:
            self._connection.close()
            raise

    def run(self, count: bool) -> Reply:
        """Do the job, with or without counting."""
        try:
            hours: dict[int, HourCount] = {}
            for start_ms, end_ms in footers.chunks(self._sources, self._job, self._rows_max):
                hours |= self._chunk(start_ms, end_ms, count)
            engine = f"chDB {self._rows('SELECT version()', {})[0][0]}"
        except RuntimeError as error:
            # The engine's message names a file, but not always, nor always the right one: the files themselves tell.
            for source in self._sources:
                footers.verify(source.path, self._locations)
            # A footer that Arrow can live with and the engine cannot: then it named the link of the file.
            named = _IN_FILE.search(str(error))
            if named is not None and named[1] in self._linked and "MEMORY_LIMIT_EXCEEDED" not in str(error):
                raise LakeDamagedError(self._linked[named[1]], str(error).splitlines()[0]) from error
            raise RecountError(f"chDB could not count: {error}") from error
        return Reply(hours, tuple(self._results), engine, memory_bytes_peak())

    def close(self) -> None:
        """Give the engine's own files back."""
        self._connection.close()
        shutil.rmtree(self._folder / "chdb", ignore_errors=True)

    def _configure(self) -> None:
        memory = self._job.memory_bytes_max
        limits = {
            "max_memory_usage": memory,
            "max_bytes_before_external_group_by": memory // 4,
            "max_bytes_before_external_sort": memory // 4,
            "input_format_parquet_memory_high_watermark": memory // 8,
            "max_threads": self._tuning.threads or os.cpu_count() or 1,
        }
        for name, value in (_SETTINGS | limits).items():
            self._connection.query(f"SET {name} = {int(value)}")

    def _chunk(self, start_ms: int, end_ms: int, count: bool) -> dict[int, HourCount]:
        rules = self._job.rules
        chunk = self._folder / f"chunk-{start_ms}"
        from_ms = start_ms - rules.dedup_window_ms
        touching = [source for source in self._sources if source.touches(from_ms, end_ms)]
        common: Parameters = {
            "files": self._link(touching, chunk),
            "from_ms": from_ms,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "window_ms": rules.dedup_window_ms,
            "lateness_ms": rules.lateness_ms,
        }
        hours = self._manifests(common, touching)
        while count:
            try:
                self._count(common, chunk, hours)
                break
            except RuntimeError as error:
                # Rows may be longer than those by which ROW_BYTES was measured.
                if "MEMORY_LIMIT_EXCEEDED" not in str(error) or self._rows_max <= ROWS_MIN:
                    raise
                self._rows_max //= 2
        for source in touching:
            # Where links are symbolic, a file that was removed meanwhile was not read, without an error.
            if not is_address(source.path) and not Path(source.path).exists():
                raise LakeFileGoneError(f"{source.path}: it was removed while it was counted; list the files again")
        shutil.rmtree(chunk)
        return hours

    def _count(self, common: Parameters, chunk: Path, hours: dict[int, HourCount]) -> None:
        """Fold a chunk, and put what became of its events into `hours`."""
        outcomes = self._fold(common, chunk, "lake")
        if any(sum(outcomes[hour].values()) != hours[hour].manifest.events for hour in hours):
            # Some (edge_id, seq) has copies that differ, which is a defect somewhere: they did not meet. One is chosen.
            out = chunk / "chosen.native"
            out.unlink(missing_ok=True)
            self._run(statements.CHOOSE_COPIES, {**common, "out": str(out)})
            outcomes = self._fold({**common, "files": str(out)}, chunk, "chosen")
        for hour, counted in hours.items():
            if sum(outcomes[hour].values()) != counted.manifest.events:
                raise RecountError(
                    f"hour {hour}: {counted.manifest.events} events were found and {outcomes[hour]} counted; this is a "
                    "defect of adtally"
                )
            hours[hour] = msgspec.structs.replace(counted, outcomes=outcomes[hour])

    def _fold(self, common: Parameters, chunk: Path, name: str) -> dict[int, dict[str, int]]:
        """Fold all buckets of a chunk into result files; give the outcomes of its hours."""
        start_ms, end_ms = int(common["start_ms"]), int(common["end_ms"])
        rows = footers.rows_of(self._sources, int(common["from_ms"]), end_ms)
        buckets = max(1, -(-rows // self._rows_max))
        source = statements.LAKE if name == "lake" else statements.LOCAL
        split = name == "lake" and buckets > self._tuning.scans_max
        if split:
            source = statements.LOCAL
            self._run(
                statements.SPLIT, {**common, "buckets": buckets, "out": str(chunk / "bucket-{_partition_id}.native")}
            )
        results = []
        for bucket in range(buckets):
            asked = {**common, "buckets": buckets, "bucket": bucket}
            if split:
                asked["files"] = str(chunk / f"bucket-{bucket}.native")
                if not Path(str(asked["files"])).exists():
                    continue
            out = self._folder / f"minutes-{start_ms}-{name}-{bucket}.parquet"
            out.unlink(missing_ok=True)
            self._run(statements.fold(source), {**asked, "out": str(out)})
            if split:
                Path(str(asked["files"])).unlink()
            results.append(out)
        return self._taken(results, range(start_ms, end_ms, HOUR_MS))

    def _taken(self, results: Sequence[Path], hours: Sequence[int]) -> dict[int, dict[str, int]]:
        """Take result files over, in the place of an earlier attempt's of the same hours; sum their outcomes."""
        begin = f"minutes-{hours[0]}-"
        self._results = [path for path in self._results if not Path(path).name.startswith(begin)]
        found: dict[int, dict[str, int]] = {hour: {} for hour in hours}
        for path in results:
            if not path.exists():
                continue
            self._results.append(str(path))
            for hour, outcome, clicks in self._rows(statements.OUTCOMES, {"files": str(path)}):
                of_hour = found[int(hour) * HOUR_MS]
                of_hour[outcome] = of_hour.get(outcome, 0) + int(clicks)
        return found

    def _manifests(self, common: Parameters, touching: Sequence[SourceFile]) -> dict[int, HourCount]:
        hours = range(int(common["start_ms"]), int(common["end_ms"]), HOUR_MS)
        passes = 1 + sum(source.rows for source in touching) * _PASS_ROW_BYTES // self._job.memory_bytes_max
        edges, late = self._edges(statements.HOURS, common, passes)
        before, _ = self._edges(statements.WINDOWS, common, passes)
        return {
            hour: HourCount(
                manifest=manifest(edges.get(hour, ()), before.get(hour, ())),
                outcomes={},
                late=late.get(hour, 0),
                edges=tuple(edges.get(hour, ())),
            )
            for hour in hours
        }

    def _edges(
        self, statement: str, common: Parameters, passes: int
    ) -> tuple[Mapping[int, Sequence[EdgeEvents]], Mapping[int, int]]:
        """Give the edges of each hour by edge_id, and the number of its late events."""
        sums: dict[tuple[int, str], list[int]] = {}
        late: dict[int, int] = {}
        for number in range(passes):
            for row in self._rows(statement, {**common, "passes": passes, "pass": number}):
                hour, edge_id = int(row[0]) * HOUR_MS, row[1]
                events, first, last, first_lane, second_lane, late_events = map(int, row[2:])
                had = sums.get((hour, edge_id), [0, first, last, 0, 0])
                sums[hour, edge_id] = [
                    had[0] + events, min(had[1], first), max(had[2], last), had[3] + first_lane, had[4] + second_lane
                ]  # fmt: skip
                late[hour] = late.get(hour, 0) + late_events
        edges: dict[int, list[EdgeEvents]] = {}
        for (hour, edge_id), (events, first, last, first_lane, second_lane) in sorted(sums.items()):
            found = EdgeEvents(edge_id, first, last, events, lanes_hash(first_lane, second_lane))
            edges.setdefault(hour, []).append(found)
        return edges, late

    def _link(self, sources: Sequence[SourceFile], folder: Path) -> str:
        """Give a glob of links to the files, under names that no shell or SQL would stumble over.

        A hard link holds the file even if the lake removes it meanwhile, as does a copy of what is not here.
        """
        folder.mkdir()
        for number, source in enumerate(sources):
            link = folder / f"{number}.parquet"
            self._linked[str(link)] = source.path
            if is_address(source.path):
                self._locations.fetch(source.path, link)
                if footers.inspect([str(link)], self._locations)[0].rows != source.rows:
                    raise LakeFileGoneError(f"{source.path}: it was replaced meanwhile; list the files again")
                continue
            try:
                link.hardlink_to(source.path)
            except FileNotFoundError:
                raise LakeFileGoneError(f"{source.path}: the lake has no such file now; list its files again") from None
            except OSError:
                # Another file system, or one without hard links.
                link.symlink_to(Path(source.path).absolute())
        return str(folder / "*.parquet")

    def _run(self, sql: str, parameters: Parameters) -> None:
        self._connection.query(sql, "Null", params=parameters)

    def _rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        return _decode_rows(bytes(self._connection.query(sql, "JSONCompactEachRow", params=parameters).bytes()))

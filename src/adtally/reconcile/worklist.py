"""Which hours are to be recounted, and how they are put together into jobs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from adtally.lake.port import Lake, LakeFile
from adtally.ledger.port import HourLine, Rules
from adtally.utc import DAY_MS, HOUR_MS, hour_of

JOB_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of files of one job, unless a single hour has more: small hours share the price of starting an engine."""


class DueHour(msgspec.Struct, frozen=True):
    """An hour to be recounted. `line` is what the ledger says of it now."""

    hour_ms: int
    files: tuple[LakeFile, ...]
    look_back: tuple[LakeFile, ...]
    """Files of the hours before, which one deduplication window reaches into."""
    fingerprint: str
    rules: Rules
    line: HourLine | None


def fingerprint(files: Iterable[LakeFile]) -> str:
    """Give a text that differs where names or sizes of files do."""
    digest = blake2b(digest_size=16)
    for file in sorted(files):
        digest.update(msgspec.msgpack.encode(file))
    return digest.hexdigest()


class Hours:
    """The lake's files by hour, listed once for a pass."""

    def __init__(self, lake: Lake) -> None:
        self._files = {hour_ms: tuple(files) for hour_ms, files in lake.listing().items()}
        self.present = list(self._files)
        """Hours that hold files, ascending."""

    def files(self, hour_ms: int) -> tuple[LakeFile, ...]:
        """Give an hour's files; none where there is no such hour."""
        return self._files.get(hour_ms, ())

    def hour(self, hour_ms: int, current: Rules, line: HourLine | None) -> DueHour:
        """Give what a recount of an hour would read. Rules that an hour was counted by stay with it."""
        rules = current if line is None or line.revision == 0 else line.rules
        begin_ms = hour_of(hour_ms - rules.dedup_window_ms)
        look_back = tuple(file for before in range(begin_ms, hour_ms, HOUR_MS) for file in self.files(before))
        files = self.files(hour_ms)
        return DueHour(hour_ms, files, look_back, fingerprint(files + look_back), rules, line)


def jobs(hours: Sequence[DueHour], bytes_max: int = JOB_BYTES_MAX) -> Iterator[tuple[DueHour, ...]]:
    """Put adjoining hours of one UTC day and one set of rules together, up to `bytes_max` of files."""
    group: list[DueHour] = []
    size = 0
    for hour in hours:
        bytes_ = sum(file.size_bytes for file in hour.files)
        fits = (
            group
            and hour.hour_ms == group[-1].hour_ms + HOUR_MS
            and hour.hour_ms // DAY_MS == group[0].hour_ms // DAY_MS
            and hour.rules == group[0].rules
            and size + bytes_ <= bytes_max
        )
        if group and not fits:
            yield tuple(group)
            group, size = [], 0
        group.append(hour)
        size += bytes_
    if group:
        yield tuple(group)


def is_due(hour: DueHour, lines: Mapping[int, HourLine]) -> bool:
    """Tell whether an hour's files are others than those that the ledger's newest line is about.

    Raw events that were removed on purpose are not missed: neither an hour that is frozen nor the one behind it, whose
    look-back is gone, is counted again.
    """
    line = hour.line
    if line is None:
        return True
    before = lines.get(hour.hour_ms - HOUR_MS)
    if line.state == "frozen" or (before is not None and before.state == "frozen"):
        return False
    return line.files != hour.fingerprint

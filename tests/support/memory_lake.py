"""A lake in memory, for tests of what reads and writes lakes; the contract suite holds it to the real one's rules."""

from collections.abc import Sequence

import pyarrow as pa

from adtally.errors import LakeDamagedError, LakeError, LakeFileGoneError
from adtally.lake.columns import EVENT_COLUMNS
from adtally.lake.hours import hour_folder, parse_hour_folder
from adtally.lake.port import LakeFile


class MemoryLake:
    """Implements Lake but for `location`. `away` makes it raise, `fail_after` after so many more writes."""

    def __init__(self) -> None:
        self.contents: dict[str, pa.Table] = {}
        self.damaged: set[str] = set()
        self.away = False
        self.fail_after: int | None = None

    def write(self, hour_ms: int, stem: str, events: pa.Table) -> LakeFile:
        self._answer()
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise LakeError("the lake is full")
        name = f"{hour_folder(hour_ms)}/{stem}.parquet"
        self.contents[name] = events.cast(EVENT_COLUMNS).sort_by([("ad_id", "ascending"), ("ts_ms", "ascending")])
        return self._file(name)

    def hours(self) -> list[int]:
        self._answer()
        found = {parse_hour_folder(name.rpartition("/")[0]) for name in self.contents}
        return sorted(hour_ms for hour_ms in found if hour_ms is not None)

    def files(self, hour_ms: int) -> list[LakeFile]:
        self._answer()
        folder = hour_folder(hour_ms)
        return [self._file(name) for name in sorted(self.contents) if name.startswith(f"{folder}/")]

    def listing(self) -> dict[int, list[LakeFile]]:
        return {hour_ms: self.files(hour_ms) for hour_ms in self.hours()}

    def read(self, file: LakeFile, columns: Sequence[str] | None = None) -> pa.Table:
        self._answer()
        if file.name not in self.contents or self._file(file.name) != file:
            raise LakeFileGoneError(f"{file.name} is gone")
        if file.name in self.damaged:
            raise LakeDamagedError(file.name, "a test says so")
        return self.contents[file.name].select(list(columns or EVENT_COLUMNS.names))

    def location(self, file: LakeFile) -> str:
        raise NotImplementedError("no engine can read a test's memory")

    def replace(self, hour_ms: int, stem: str, events: pa.Table, old: Sequence[LakeFile]) -> LakeFile:
        written = self.write(hour_ms, stem, events)
        for file in old:
            if file.name != written.name:
                self.contents.pop(file.name, None)
        return written

    def remove_hour(self, hour_ms: int) -> None:
        for file in self.files(hour_ms):
            del self.contents[file.name]

    def _file(self, name: str) -> LakeFile:
        return LakeFile(name, self.contents[name].nbytes)

    def _answer(self) -> None:
        if self.away:
            raise LakeError("the lake is away")

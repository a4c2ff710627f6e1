"""An event log in memory, for tests of what reads logs; the contract suite holds it to the real one's rules."""

from collections.abc import Mapping, Sequence

import msgspec

from adtally.errors import LogClosedError, LogError, NotFoundError, PositionGoneError
from adtally.event import Control, Event, encode_control, encode_event
from adtally.eventlog.port import BEGINNING, DeadLetter, Partition, Position, Record


class MemoryLog:
    """Partitions of records, appended by the test itself."""

    def __init__(self) -> None:
        self.records: dict[Partition, list[Record]] = {}
        self.commits: dict[str, dict[Partition, Position]] = {}

    def append(self, partition: str, events: Sequence[Event], appended_ms: int) -> None:
        self._append(partition, "events", b"\n".join(map(encode_event, events)), appended_ms)

    def append_control(self, partition: str, control: Control, appended_ms: int) -> None:
        self._append(partition, "control", encode_control(control), appended_ms)

    def append_raw(self, partition: str, payload: bytes, appended_ms: int) -> None:
        self._append(partition, "events", payload, appended_ms)

    def reader(self, name: str) -> "MemoryLogReader":
        return MemoryLogReader(self, name)

    def _append(self, partition: str, kind: str, payload: bytes, appended_ms: int) -> None:
        records = self.records.setdefault(Partition(partition), [])
        n = len(records)
        records.append(
            Record(Partition(partition), kind, appended_ms, payload, _position(n, 0), _position(n + 1, 0))  # type: ignore[arg-type]
        )


class MemoryLogReader:
    def __init__(self, log: MemoryLog, name: str) -> None:
        self._log = log
        self._name = name
        self.records_max = 1_000_000
        """The test may let a read end early, as a slow disk would."""

    def partitions(self) -> list[Partition]:
        return sorted(self._log.records)

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        n, index = (0, 0) if start == BEGINNING else (int(part) for part in start.split("-"))
        found: list[Record] = []
        size = 0
        for record in self._log.records.get(partition, [])[n : n + self.records_max]:
            if record.kind == "damaged" and record.reason == "removed":
                raise PositionGoneError(f"{start} is gone")
            found.append(msgspec.structs.replace(record, skip=index))
            index = 0
            size += len(record.payload)
            if size >= bytes_max:
                break
        return found

    def position_of(self, record: Record, index: int) -> Position:
        return _position(int(record.at.split("-")[0]), index)

    def committed(self) -> dict[Partition, Position]:
        return dict(self._log.commits.get(self._name, {}))

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        self._log.commits.setdefault(self._name, {}).update(positions)


class MemoryDeadLetters:
    def __init__(self) -> None:
        self.letters: dict[tuple[Partition, Position], DeadLetter] = {}

    def put(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            self.letters.setdefault((letter.partition, letter.position), letter)

    def list(self, limit: int, after: tuple[Partition, Position] | None = None) -> list[DeadLetter]:
        return [self.letters[place] for place in sorted(self.letters) if after is None or place > after][:limit]

    def get(self, partition: Partition, position: Position) -> DeadLetter:
        try:
            return self.letters[partition, position]
        except KeyError:
            raise NotFoundError(f"no dead letter {partition} {position}") from None

    def mark_replayed(self, partition: Partition, position: Position, now_ms: int) -> None:
        letter = self.get(partition, position)
        self.letters[partition, position] = msgspec.structs.replace(letter, replayed_ms=now_ms)

    def count(self) -> int:
        return len(self.letters)

    def waiting(self) -> int:
        return sum(letter.replayed_ms is None for letter in self.letters.values())

    def close(self) -> None:
        pass


def _position(n: int, index: int) -> Position:
    return Position(f"{n:08d}-{index:06d}")


class MemoryLogWriter:
    """Implements LogWriter over one partition of a MemoryLog; `broken` lets it refuse, as brokers that are away do."""

    def __init__(self, log: MemoryLog, partition: str) -> None:
        self._log = log
        self._partition = partition
        self._closed = False
        self.broken = False
        self.asked = 0
        """How often something was to be appended."""

    def append(self, events: Sequence[bytes], now_ms: int) -> None:
        self._ask()
        self._log.append_raw(self._partition, b"\n".join(events), now_ms)

    def append_control(self, record: Control, now_ms: int) -> None:
        self._ask()
        self._log.append_control(self._partition, record, now_ms)

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        if events:
            self.append(events, now_ms)
        for record in records:
            self.append_control(record, now_ms)

    def close(self, closing: Control | None, now_ms: int) -> None:
        if closing is not None and not self._closed:
            self.append_control(closing, now_ms)
        self._closed = True

    def _ask(self) -> None:
        if self._closed:
            raise LogClosedError("closed")
        self.asked += 1
        if self.broken:
            raise LogError("away")

"""What the API remembers of the ledger."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from adtally.ledger.port import LineSummary
from adtally.ledger.sql import SqlLedger
from adtally.serve.standing import LedgerWatch
from support.ledger_lines import HOUR_MS, line
from support.memory_ledger import MemoryLedger


class Noting(MemoryLedger):
    """Notes from which line on it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def summaries(self, after: int = 0) -> list[LineSummary]:
        self.asked.append(after)
        return super().summaries(after)


def test_only_new_lines_are_read() -> None:
    ledger = Noting()
    watch = LedgerWatch(ledger)
    assert watch.look().commit == 0
    ledger.write(line(0))
    ledger.write(line(HOUR_MS))
    first = watch.look()
    assert watch.look() is first
    ledger.write(line(0, state="damaged", revision=2, missing=1))
    assert ledger.asked == [0, 0, 2]
    last = watch.look()
    assert ledger.asked == [0, 0, 2, 2]
    assert (last.commit, last.hours, last.missing) == (3, {"damaged": 1, "final": 1}, 1)
    assert (first.commit, first.hours, first.missing) == (2, {"final": 2}, 0)


def test_who_looks_after_a_line_was_written_sees_it_whoever_else_looks(tmp_path: Path) -> None:
    ledger = SqlLedger.open(tmp_path / "ledger.db")
    watch = LedgerWatch(ledger)

    def write_and_look(hour: int) -> bool:
        commit = ledger.write(line(hour * HOUR_MS))
        return watch.look().commit >= commit

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(write_and_look, range(60)))
    assert watch.look().finality.final_through_ms == 60 * HOUR_MS
    ledger.close()

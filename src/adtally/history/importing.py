"""Brings the clicks of a file into the event log, each under a number that follows from the file alone.

The n-th row of a file is number n of its edge_id, so running an import again, whole or from where a kill left it, names
the same events by the same numbers, and a recount takes each number once. A row that makes no event is logged as lost,
so that the numbers have no unexplained gap; should it make one in a later run, then it comes in.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from adtally import faultpoint
from adtally.clock import Clock
from adtally.errors import AdtallyError, InvalidValueError, UsageError
from adtally.event import Closing, Lost
from adtally.eventlog.port import LogWriter
from adtally.history.files import FileIdentity, Format, Rows, read_rows
from adtally.history.held import Held
from adtally.history.judging import HistoryJudge
from adtally.history.rows import ClickRow
from adtally.history.weblog import Skip
from adtally.rowfiles import RowError

BATCH_ROWS: Final = 4_096
"""Of one append."""


class ImportedBatch(msgspec.Struct, frozen=True):
    """What became of the next rows of a file."""

    imported: int
    held: int
    """Rows that the log held already."""
    skipped: Mapping[Skip, int]
    errors: list[RowError]
    bytes_read: int
    """How far in the file this batch ends, about."""


class _Work(msgspec.Struct):
    """What is to be appended of the next rows, and told."""

    events: list[bytes] = []
    lost: list[int] = []
    held: int = 0
    skipped: Counter[Skip] = msgspec.field(default_factory=Counter)
    errors: list[RowError] = []


class HistoryImport:
    """Imports one file through a writer that holds the Opening of its edge_id."""

    def __init__(
        self, identity: FileIdentity, judge: HistoryJudge, writer: LogWriter, held: Held, clock: Clock
    ) -> None:
        self._identity = identity
        self._judge = judge
        self._writer = writer
        self._held = held
        self._clock = clock
        self._last_seq = 0

    def batches(self, file: Path, file_format: Format, *, strict: bool) -> Iterator[ImportedBatch]:
        """Import the file, and tell of each batch once it is durable.

        If `strict`, nothing of the first batch with a bad row is imported, and it ends the import: it tells of that one
        row. Raises UsageError for a file that cannot be read as its format, AdtallyError if it changes meanwhile,
        LogError and StoreUnavailableError.
        """
        try:
            with (
                file.open("rb") as source,
                closing(read_rows(source, file_format, self._clock.now_ms())) as rows,
            ):
                yield from self._batches(rows, source.tell, strict=strict)
            unchanged = self._identity.still_fits(file)
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror or error}") from None
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from None
        if not unchanged:
            raise AdtallyError(f"{file} changed while it was imported: import it again when nobody writes it any more")

    def closing_record(self, now_ms: int) -> Closing:
        """Say that the import ends here."""
        return Closing(self._identity.edge_id, self._last_seq, now_ms, retired=True)

    def _batches(self, rows: Rows, tell: Callable[[], int], *, strict: bool) -> Iterator[ImportedBatch]:
        while chunk := list(islice(rows, BATCH_ROWS)):
            work, last_seq = self._judge_rows(chunk)
            if strict and work.errors:
                yield ImportedBatch(0, 0, {}, work.errors[:1], tell())
                return
            if work.events or work.lost:
                now_ms = self._clock.now_ms()
                faultpoint.reach("import.judged")
                self._writer.append_together(
                    work.events, _lost_records(self._identity.edge_id, work.lost, now_ms), now_ms
                )
                faultpoint.reach("import.appended")
            self._last_seq = last_seq
            yield ImportedBatch(len(work.events), work.held, work.skipped, work.errors, tell())

    def _judge_rows(self, chunk: Sequence[tuple[int, ClickRow | str | Skip]]) -> tuple[_Work, int]:
        work, seq = _Work(), self._last_seq
        for line, row in chunk:
            if isinstance(row, Skip):
                work.skipped[row] += 1
                continue
            seq += 1
            if seq in self._held.events:
                work.held += 1
                continue
            try:
                if isinstance(row, str):
                    reason = row
                else:
                    work.events.append(self._judge.event(seq, row))
                    continue
            except InvalidValueError as error:
                reason = str(error)
            work.errors.append(RowError(line, reason))
            if seq not in self._held.lost:
                work.lost.append(seq)
        return work, seq


def _lost_records(edge_id: str, seqs: Sequence[int], now_ms: int) -> list[Lost]:
    """Give the fewest records that name these ascending numbers."""
    records: list[Lost] = []
    for seq in seqs:
        if records and records[-1].last_seq == seq - 1:
            records[-1] = Lost(edge_id, records[-1].first_seq, seq, now_ms)
        else:
            records.append(Lost(edge_id, seq, seq, now_ms))
    return records

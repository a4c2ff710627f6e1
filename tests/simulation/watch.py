"""What readers see while the system runs, held against what they saw before."""

import msgspec

from adtally.ledger.port import HourLine, Ledger
from adtally.utc import FOREVER_MS, HOUR_MS
from simulation.store import GRAINS, Tables, at
from support.memory_olap import Cells


class Seen(msgspec.Struct, frozen=True):
    """One hour's published numbers."""

    revision: int
    cells: Cells


class Watch:
    """Looks at the final tables through the ledger, as readers do, again and again."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._seen: dict[int, Seen] = {}
        self.lost: set[tuple[str, int]] = set()
        """Partitions that the store has lost and nobody has noticed yet."""
        self.looks = 0

    def look(self, ledger: Ledger) -> None:
        """Check that a number that was final has not changed without a higher revision, and that no alarm is false."""
        self.looks += 1
        minutes = self._by_hour()
        for line in ledger.lines(0, FOREVER_MS):
            self._look(line, ledger, minutes.get(line.hour_ms, {}))

    def _look(self, line: HourLine, ledger: Ledger, cells: Cells) -> None:
        hour = at(line.hour_ms)
        assert line.state != "damaged", f"{hour} is damaged, though no byte was destroyed: {line.note}"
        before = self._seen.get(line.hour_ms)
        if before is not None:
            assert line.revision >= before.revision, f"{hour} goes back from {before.revision} to {line.revision}"
        if line.revision == 0 or ("minute", line.hour_ms) in self.lost:
            return
        outcomes = outcomes_of(cells)
        if outcomes != line.final or (
            before is not None and cells != before.cells and before.revision == line.revision
        ):
            waiting = ledger.prepared(line.hour_ms)
            if waiting is not None and outcomes == waiting.final:
                # Published by a reconciler that died before it said so; the next pass does.
                return
        assert outcomes == line.final, f"{hour} holds {outcomes}, its line says {dict(line.final)}"
        if before is not None and before.revision == line.revision:
            assert cells == before.cells, f"{hour} has changed, and is revision {line.revision} as it was"
        elif before is not None and before.revision > 0:
            assert cells != before.cells, f"{hour} is revision {line.revision}, and nothing has changed"
        self._seen[line.hour_ms] = Seen(line.revision, cells)

    def _by_hour(self) -> dict[int, Cells]:
        hours: dict[int, Cells] = {}
        for key, cell in self._tables.final["minute"].items():
            hours.setdefault(key.time_s * 1000 // HOUR_MS * HOUR_MS, {})[key] = cell
        held = {(grain, span.start_ms) for grain in GRAINS for span in self._tables.held(grain)}
        self.lost -= held
        return hours


def outcomes_of(cells: Cells) -> dict[str, int]:
    """Give the clicks of cells by outcome."""
    outcomes: dict[str, int] = {}
    for key, cell in cells.items():
        outcomes[key.outcome] = outcomes.get(key.outcome, 0) + cell.clicks
    return outcomes

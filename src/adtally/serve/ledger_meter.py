"""What ledger, archiver, reconciler and dead letters say of themselves, for Prometheus; asked at each scrape."""

from collections.abc import Callable, Iterator
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adtally.clock import Clock
from adtally.errors import LogError, StoreUnavailableError
from adtally.history.letters import LetterDesk
from adtally.ledger.port import HourLine, HourState, Ledger
from adtally.reconcile.requests import Desk
from adtally.serve.standing import LedgerWatch, Standing
from adtally.utc import DAY_MS, HOUR_MS

NAN: Final = float("nan")


class LedgerCollector(Collector):
    """Gauges of all hours, and of those of the last day; NaN while the ledger does not answer. May block."""

    def __init__(self, clock: Clock, watch: LedgerWatch, ledger: Ledger, settle_ms: int) -> None:
        self._clock = clock
        self._watch = watch
        self._ledger = ledger
        self._settle_ms = settle_ms

    def collect(self) -> Iterator[Metric]:
        """Give all gauges."""
        now_ms = self._clock.now_ms()
        yield self._archiver_lag(now_ms)
        try:
            standing: Standing | None = self._watch.look()
            day = self._ledger.lines(now_ms - DAY_MS - HOUR_MS, now_ms)
        except StoreUnavailableError:
            standing, day = None, []
        yield from _of_all_hours(standing, now_ms, self._settle_ms)
        yield from _of_a_day(None if standing is None else day)

    def _archiver_lag(self, now_ms: int) -> Metric:
        lag = GaugeMetricFamily(
            "adtally_archiver_lag_seconds",
            "From the time before which everything appended to a partition is in the lake, to now",
            labels=["partition"],
        )
        try:
            for note in self._ledger.archive():
                lag.add_metric([str(note.partition)], max(0, now_ms - note.passed_ms) / 1000)
        except StoreUnavailableError:
            pass
        return lag


def _of_all_hours(standing: Standing | None, now_ms: int, settle_ms: int) -> Iterator[Metric]:
    hours = GaugeMetricFamily("adtally_ledger_states", "Hours by the state of their newest line", labels=["state"])
    states: tuple[HourState, ...] = get_args(HourState)
    for state in states:
        hours.add_metric([state], NAN if standing is None else standing.hours.get(state, 0))
    yield hours
    yield _gauge(
        "adtally_ledger_missing",
        "Numbers that edges gave and that are not in the lake, of all hours",
        None if standing is None else standing.missing,
    )
    yield _gauge(
        "adtally_ledger_difference",
        "Sum of what the newest lines of all hours corrected, in events",
        None if standing is None else standing.difference,
    )
    through_ms = None if standing is None else standing.finality.final_through_ms
    yield _gauge(
        "adtally_ledger_final_age_seconds",
        "From final_through, before which everything is final, to now; NaN before the first line",
        None if through_ms is None else max(0, now_ms - through_ms) / 1000,
    )
    yield _gauge(
        "adtally_ledger_overdue_seconds",
        "Since when the oldest hour that is not final could be it: from its end and reconcile.settle_ms to now; "
        "0 if none is due, NaN before the first line",
        None if through_ms is None else max(0, now_ms - through_ms - HOUR_MS - settle_ms) / 1000,
    )


def _of_a_day(lines: list[HourLine] | None) -> Iterator[Metric]:
    sums: dict[str, tuple[str, Callable[[HourLine], int]]] = {
        "events": ("Events that were recounted", lambda line: sum(line.final.values())),
        "difference": ("Sum of what recounts corrected, in events", lambda line: line.difference),
        "late": ("Events that came too late for the live count", lambda line: line.late),
        "missing": ("Numbers that edges gave and that are not in the lake", lambda line: line.missing),
    }
    for name, (meaning, of) in sums.items():
        value = None if lines is None else sum(of(line) for line in lines)
        yield _gauge(f"adtally_ledger_day_{name}", f"{meaning}, in hours of the last day by their newest lines", value)
    newest = max(lines or (), key=lambda line: line.commit, default=None)
    yield _gauge(
        "adtally_ledger_recount_seconds",
        "How long the newest recount of an hour of the last day took; NaN without any",
        None if newest is None else (newest.finished_ms - newest.started_ms) / 1000,
    )


class PassCollector(Collector):
    """Gauges of the reconciler's newest regular pass; nothing where no reconciler is reached. May block."""

    def __init__(self, clock: Clock, desk: Desk | None) -> None:
        self._clock = clock
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        """Give all gauges."""
        if self._desk is None:
            return
        try:
            regular = self._desk.last_pass()
        except StoreUnavailableError:
            regular = None
        report = None if regular is None else regular.report
        yield _gauge(
            "adtally_reconcile_pass_age_seconds",
            "From the end of the reconciler's newest pass to now; NaN before the first",
            None if regular is None else max(0, self._clock.now_ms() - regular.ended_ms) / 1000,
        )
        yield _gauge(
            "adtally_reconcile_pass_failed",
            "1 if the newest pass did not come to its end",
            None if regular is None else regular.failed is not None,
        )
        yield _gauge(
            "adtally_reconcile_failing_jobs",
            "Hours, or runs of hours, that the newest whole pass could not recount; they stay due",
            None if regular is None else 0 if report is None else len(report.failures),
        )


class LetterCollector(Collector):
    """How many dead letters wait for a person; NaN while they cannot be read. May block."""

    def __init__(self, letters: LetterDesk) -> None:
        self._letters = letters

    def collect(self) -> Iterator[Metric]:
        """Give the gauge."""
        try:
            waiting: int | None = self._letters.waiting()
        except LogError:
            waiting = None
        yield _gauge(
            "adtally_dead_letters_waiting", "Pieces of the log that could not be read and were not replayed", waiting
        )


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    return GaugeMetricFamily(name, meaning, value=NAN if value is None else float(value))

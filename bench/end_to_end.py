"""The whole system with the load beside it on the same machine: the highest rate that it sustains, counted exactly."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from adtally.clock import SYSTEM_CLOCK
from adtally.traffic.fetch import verify, wait_until_complete
from adtally.traffic.load import LoadReport
from adtally.traffic.truth import TruthFile
from adtally.traffic.verify import expect
from bench.results import Row
from bench.system import whole_system

ADS = 10_000
RATES = (10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 45_000)
SUSTAINED_P99_MS = 1_000
"""An open loop whose p99 is above this has fallen behind."""

CATCH_UP_S = 60.0


class Trial(msgspec.Struct, frozen=True):
    """One rate for a while, on a fresh system."""

    report: LoadReport
    agrees: bool
    behind_s: float
    """From the end of the load until the numbers were complete."""

    @property
    def sustained(self) -> bool:
        """Tell whether the system kept up, and every click was counted exactly."""
        report = self.report
        kept_up = report.achieved_rate >= 0.99 * report.rate and report.latency.p99_ms <= SUSTAINED_P99_MS
        return kept_up and self.agrees and report.unknown == report.unsent == report.unrecorded == report.refused == 0

    def sentence(self) -> str:
        """Say what happened."""
        verdict = "exact" if self.agrees else "NOT EXACT"
        return (
            f"{self.report.rate:,.0f}/s: {self.report.achieved_rate:,.0f}/s, p99 {self.report.latency.p99_ms:.0f} ms, "
            f"{verdict}, complete {self.behind_s:.1f} s after the end"
        )


def measure(quick: bool) -> list[Row]:
    """Step the rate up until it is not sustained any more."""
    seconds = 10.0 if quick else 60.0
    trials: list[Trial] = []
    for rate in RATES:
        trials.append(_trial(rate, seconds))
        if not trials[-1].sustained:
            break
    best = max((trial.report.achieved_rate for trial in trials if trial.sustained), default=0.0)
    return [
        Row(
            "end-to-end",
            f"embedded, everything on this machine with the load beside it, sustained {seconds:.0f} s, exact",
            f"{best:,.0f}/s" if best else "not sustained at any rate that was tried",
            "; ".join(trial.sentence() for trial in trials),
            "25,000/s",
            "45,000/s",
        )
    ]


def _trial(rate: float, seconds: float) -> Trial:
    with TemporaryDirectory(prefix="adtally-bench-") as name:
        root, truth = Path(name) / "data", Path(name) / "truth.ndjson"
        with whole_system(root, ADS) as (system, _):
            report = run_load(root, rate, seconds, truth)
            ended_s = SYSTEM_CLOCK.monotonic_s()
            wait_until_complete(system.api, SYSTEM_CLOCK.now_ms(), CATCH_UP_S, SYSTEM_CLOCK)
            behind_s = SYSTEM_CLOCK.monotonic_s() - ended_s
            result, current = verify(system.api, expect(TruthFile(truth)), CATCH_UP_S, SYSTEM_CLOCK)
    return Trial(report, result.agrees and current, behind_s)


def run_load(root: Path, rate: float, seconds: float, truth: Path) -> LoadReport:
    """Run `adtally load` in its own process."""
    command = [str(Path(sys.executable).with_name("adtally")), "load", "--data-dir", str(root), "--json"]
    answer = subprocess.run(
        [*command, "--rate", str(rate), "--seconds", str(seconds), "--truth", str(truth), "--ads", str(ADS)],
        capture_output=True,
        check=False,
    )
    if answer.returncode != 0:
        raise SystemExit(f"adtally load failed: {answer.stderr.decode(errors='replace')}")
    return msgspec.json.decode(answer.stdout, type=LoadReport)

"""What a measurement gives, and how it is shown: on the terminal, and as a table in docs/benchmarks.md."""

import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from adtally import __version__
from adtally.clock import SYSTEM_CLOCK

CHECKOUT = Path(__file__).parent.parent
DOCUMENT = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


class Row(msgspec.Struct, frozen=True):
    """One measured thing. `must` and `aim` are the design's, empty where it names none."""

    name: str
    """Of the measurement that gave it (`--only`)."""
    what: str
    result: str
    runs: str
    must: str = ""
    aim: str = ""


class Machine(msgspec.Struct, frozen=True):
    """Where and when it was measured."""

    cpu: str
    cores: int
    kernel: str
    date: str
    commit: str

    @classmethod
    def here(cls) -> "Machine":
        """Describe this machine and checkout."""
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return cls(
            cpu=models[0] if models else os.uname().machine,
            cores=os.cpu_count() or 1,
            kernel=os.uname().release,
            date=datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            commit=_commit(),
        )

    def sentence(self) -> str:
        """Say it in one line."""
        where = f"{self.cores} cores of {self.cpu}, Linux {self.kernel}"
        return f"{self.date}, adtally {__version__} at {self.commit}, {where}"


def rates(numbers: Sequence[float]) -> str:
    """Show several runs' rates."""
    return ", ".join(f"{number:,.0f}" for number in numbers)


def middle(numbers: Sequence[float]) -> float:
    """Give the median of runs."""
    return median(numbers)


def markdown(rows: Sequence[Row], machine: Machine) -> str:
    """Give the rows as a Markdown table under a line about the machine."""
    lines = [
        f"Measured {machine.sentence()}.",
        "",
        "| what | result | runs | must | aim |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {row.what} | {row.result} | {row.runs} | {row.must} | {row.aim} |" for row in rows]
    return "\n".join(lines)


def write(rows: Sequence[Row], machine: Machine) -> None:
    """Put the table between the markers of docs/benchmarks.md; the text around it stays."""
    text = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{markdown(rows, machine)}\n{END}{after}", encoding="utf-8")


def _commit() -> str:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "an unknown commit"

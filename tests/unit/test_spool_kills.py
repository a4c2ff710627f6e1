"""A process that dies at any step of the spool: what it had acknowledged comes into the log all the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from adtally.event import Closing, decode_control, decode_event_lines
from adtally.eventlog.port import BEGINNING, Partition, Record
from adtally.eventlog.sqlite.reader import SqliteLogReader

CHILD = """
import os, signal, sys
from pathlib import Path
from adtally import faultpoint
from adtally.errors import LogError
from adtally.event import Closing, Event, encode_event
from adtally.eventlog.spool.writer import SpooledWriter
from adtally.eventlog.sqlite.writer import SqliteLogWriter

root, edge_id, point, after = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
left = after

def reach(name):
    global left
    left -= name == point
    if name == point and left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

faultpoint.on_reach = reach

class Away:
    away = True
    def __init__(self, log): self.log = log
    def _check(self):
        if self.away: raise LogError("away")
    def append(self, events, now_ms): self._check(); self.log.append(events, now_ms)
    def append_control(self, record, now_ms): self._check(); self.log.append_control(record, now_ms)
    def append_together(self, *args): self._check(); self.log.append_together(*args)
    def close(self, closing, now_ms): self.log.close(closing, now_ms)

log = Away(SqliteLogWriter.open(root / "log", "log", "log-" + edge_id, 1, 1 << 20))
writer, drainer = SpooledWriter.open(log, log, root / "spool", edge_id, 1, 1 << 20, 60_000)
seq = 0

def click():
    global seq
    seq += 1
    writer.append([encode_event(Event(edge_id, seq, seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent"))], seq)
    print(edge_id, seq, flush=True)

for _ in range(3):
    click()
log.away = False
for _ in range(8):
    drainer.step(1_000)
    click()
while writer.spooled_bytes:
    drainer.step(1_000)
writer.close(Closing(edge_id, seq, 2_000), 2_000)
"""

POINTS = ["spool.kept", "spool.drained", "spool.passed", "spool.retired", "spool.closed"]


def run(root: Path, edge_id: str, point: str = "", after: int = 1) -> tuple[int, list[tuple[str, int]]]:
    """Let a process click and drain; give how it ended and what it had acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), edge_id, point, str(after)],
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return done.returncode, [(line[0], int(line[1])) for line in lines if len(line) == 2 and line[1].isdigit()]


def read_log(root: Path) -> list[Record]:
    reader = SqliteLogReader(root / "log", "test")
    records: list[Record] = []
    start = BEGINNING
    while found := reader.read(Partition("log"), start, 1 << 20):
        records += found
        start = found[-1].next
    reader.close()
    return records


@pytest.mark.parametrize("point", POINTS)
def test_what_was_acknowledged_comes_into_the_log_wherever_the_process_dies(tmp_path: Path, point: str) -> None:
    status, acknowledged = run(tmp_path, "e0", "spool.kept", after=3)
    assert status == -9
    deaths = 0
    for start in (1, 2):
        status, told = run(tmp_path, f"e{start}", point, after=start)
        deaths += status == -9
        acknowledged += told
    status, told = run(tmp_path, "last")
    assert status == 0
    assert deaths > 0
    records = read_log(tmp_path)
    there = {
        (event.edge_id, event.seq)
        for record in records
        if record.kind == "events"
        for event in decode_event_lines(record.payload)
    }
    assert set(acknowledged + told) <= there
    controls = [decode_control(record.payload) for record in records if record.kind == "control"]
    closed = {control.edge_id for control in controls if isinstance(control, Closing)}
    assert {"e0", "e1", "e2", "last"} <= closed
    assert not [each for each in (tmp_path / "spool").iterdir() if each.is_dir()]

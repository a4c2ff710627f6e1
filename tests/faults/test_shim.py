"""The testers' own test: each fault hits real calls, the journals miss nothing, and power takes what was not synced."""

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults.power import Disk
from faults.shim import Kind, Shim

WRITER = """
import os, pathlib, sys, apsw
folder, synchronous, rows = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
db = apsw.Connection(str(folder / "db"))
db.pragma("journal_mode", "wal")
db.pragma("wal_autocheckpoint", 0)
db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, filling BLOB)")
if synchronous == "full":
    os.fsync(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
db.pragma("synchronous", synchronous)
for n in range(rows):
    db.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (n,))
os.kill(os.getpid(), 9)
"""
READER = "import sys, apsw; print(apsw.Connection(sys.argv[1] + '/db').execute('SELECT count(*) FROM t').get)"

CALLS: dict[Kind, tuple[str, int]] = {
    "no_room": ("open(path, 'ab', 0).write(b'x')", errno.ENOSPC),
    "no_write": ("os.pwrite(os.open(path, os.O_RDWR), b'x', 0)", errno.EIO),
    "no_read": ("open(path, 'rb').read()", errno.EIO),
    "no_sync": ("os.fsync(os.open(path, os.O_RDWR))", errno.EIO),
}


def python(shim: Shim, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **shim.environment}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_bytes(b"here")
    return folder


@pytest.mark.parametrize("kind", list(CALLS))
def test_a_fault_fails_the_calls_of_its_kind_below_its_folder_until_it_ends(
    shim: Shim, folder: Path, kind: Kind
) -> None:
    call, number = CALLS[kind]
    code = f"import os, sys; path = sys.argv[1]\ntry:\n  {call}\nexcept OSError as error: print(error.errno)"
    path = str(folder / "file")
    with shim.fault(kind, "file"):
        assert python(shim, code, path).stdout == f"{number}\n"
    elsewhere = shim.begin(kind, "other")
    done = python(shim, code, path)
    assert (done.stdout, done.stderr, elsewhere.hits) == ("", "", 0)


def test_a_full_disk_takes_what_room_it_has_and_what_needs_none(shim: Shim, folder: Path) -> None:
    code = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
for size in (100, 100): os.write(file, bytes(size))
os.pwrite(os.open(sys.argv[1], os.O_RDWR), b"in the place of others", 0)
try: os.write(file, bytes(100))
except OSError as error: print(error.errno)
"""
    with shim.fault("no_room", room_bytes=250):
        done = python(shim, code, str(folder / "file"))
    assert (done.stdout, done.stderr) == (f"{errno.ENOSPC}\n", "")


def test_a_sync_can_wait_and_the_clock_can_be_elsewhere(shim: Shim, folder: Path) -> None:
    shim.set_clock(-3600.5)
    code = "import os, sys, time; t = time.monotonic(); os.fsync(os.open(sys.argv[1], 0)); "
    code += "print(time.time(), time.monotonic() - t)"
    with shim.fault("slow_sync", times=1, delay_ms=300):
        said, took = map(float, python(shim, code, str(folder / "file")).stdout.split())
    assert took >= 0.3
    assert abs(time.time() - 3600.5 - said) < 60


@pytest.mark.parametrize("keeps", [True, False])
def test_what_sqlite_has_synced_survives_a_loss_of_power(shim: Shim, folder: Path, seed: int, keeps: bool) -> None:
    assert rows_after_loss(shim, folder, "full", random.Random(seed), keeps) == 50


def test_what_sqlite_has_not_synced_is_gone_after_a_loss_of_power(shim: Shim, folder: Path, seed: int) -> None:
    assert rows_after_loss(shim, folder, "off", random.Random(seed), False) == 0


def test_what_a_disk_only_claimed_to_have_synced_is_gone_after_a_loss_of_power(
    shim: Shim, folder: Path, seed: int
) -> None:
    with shim.fault("false_sync", part="-wal"):
        assert rows_after_loss(shim, folder, "full", random.Random(seed), False) == 0


def test_what_a_failed_sync_was_to_make_durable_never_arrives(shim: Shim, folder: Path, seed: int) -> None:
    code = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY)
os.pwrite(file, b"lost", 0)
try: os.fsync(file)
except OSError as error: print(error.errno)
os.pwrite(file, b"kept", 4)
os.fsync(file)
"""
    disk = Disk(folder, shim.journals)
    disk.watch()
    shim.keep_journal()
    with shim.fault("no_sync", times=1):
        assert python(shim, code, str(folder / "file")).stdout == f"{errno.EIO}\n"
    disk.replay()
    assert disk.differences() == []
    disk.lose_power(random.Random(seed), keeps=True)
    assert (folder / "file").read_bytes() == b"herekept"


def test_a_name_is_durable_when_its_folder_was_synced(shim: Shim, folder: Path, seed: int) -> None:
    code = """
import os, sys
os.chdir(sys.argv[1])
os.mkdir("sub")
for name in ("sub/a", "sub/b", "c"):
    with open(name, "wb") as file:
        file.write(name.encode())
        file.flush()
        os.fsync(file.fileno())
os.rename("sub/a", "sub/d")
for name in ("sub", "."): os.fsync(os.open(name, os.O_RDONLY))
os.rename("file", "sub/e")
os.unlink("c")
"""
    disk = Disk(folder, shim.journals)
    disk.watch()
    shim.keep_journal()
    assert python(shim, code, str(folder)).stderr == ""
    disk.replay()
    assert disk.differences() == []
    disk.lose_power(random.Random(seed), keeps=False)
    left = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert left == {"sub/d": b"sub/a", "sub/b": b"sub/b", "c": b"c", "file": b"here"}


def rows_after_loss(shim: Shim, folder: Path, synchronous: str, rnd: random.Random, keeps: bool) -> int:
    """Let a process that is killed write 50 rows, take the power away, and count them."""
    disk = Disk(folder, shim.journals)
    disk.watch()
    shim.keep_journal()
    assert python(shim, WRITER, str(folder), synchronous, "50").returncode == -9
    disk.replay()
    assert disk.differences() == []
    disk.lose_power(rnd, keeps)
    done = python(shim, READER, str(folder))
    # Without its schema there is no table.
    return int(done.stdout) if not done.stderr else 0

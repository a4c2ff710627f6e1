"""The data folder of an embedded system: what lies where, its version, its lock, and how a running system is found."""

import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from adtally.errors import DataFolderError

FOLDER_VERSION: Final = 1
"""Of the layout and the files' formats; a folder of a newer version is refused."""

CRASH_LOOP_MS: Final = 60_000
"""A process that died again and again is not well until it has lived for so long."""


class RunInfo(msgspec.Struct, frozen=True):
    """`run.json`: where a running system is reached, and which processes it consists of."""

    supervisor_pid: int
    click_url: str
    api_url: str
    version: str
    started_ms: int
    pids: dict[str, int]
    """Of each child by role and number: `edge-0`, `counter`, `store`."""
    restarts: dict[str, int]
    crash_loops_ms: dict[str, int] = {}
    """Of each child that died again and again: when it last did so."""

    def is_crash_looping(self, process: str, now_ms: int) -> bool:
        """Tell whether a child that died again and again has not yet lived for long enough since."""
        return now_ms - self.crash_loops_ms.get(process, 0) < CRASH_LOOP_MS


class DataFolder:
    """Paths below `root`. Making one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "lock"
        self.run_info = root / "run.json"
        self.admin_key = root / "admin.key"
        self.config = root / "config.toml"
        self.version = root / "version"
        self.registry = root / "registry.db"
        self.ads = root / "ads.db"
        self.ledger = root / "ledger.db"
        self.log = root / "log"
        self.spool = root / "spool"
        self.dead_letters = root / "deadletters.db"
        self.olap = root / "olap"
        self.live_rules = root / "live_rules.json"
        self.lake = root / "lake"
        self.run = root / "run"
        self.backups = root / "backups"

    def prepare(self) -> None:
        """Make the folder if it is not there, and check its version. Raises DataFolderError."""
        if self.root.exists() and not self.root.is_dir():
            raise DataFolderError(f"{self.root} is not a folder: choose another --data-dir")
        if not self.version.exists():
            strangers = sorted(entry.name for entry in self.root.iterdir()) if self.root.exists() else []
            if set(strangers) - {"lock", "config.toml"}:
                raise DataFolderError(
                    f"{self.root} holds other files ({', '.join(strangers[:3])}) and no adtally data: "
                    "choose an empty or new folder with --data-dir"
                )
            self.root.mkdir(parents=True, exist_ok=True)
            replace_file(self.version, f"{FOLDER_VERSION}\n".encode())
            return
        self.check_version()

    def check_version(self) -> None:
        """Raise DataFolderError unless this version can work on the folder."""
        try:
            found = int(self.version.read_text(encoding="ascii"))
        except FileNotFoundError:
            raise DataFolderError(f"{self.root} is no adtally data folder: `adtally up` makes one") from None
        except ValueError:
            raise DataFolderError(f"{self.version} does not hold a number: the folder is damaged") from None
        if found != FOLDER_VERSION:
            raise DataFolderError(
                f"{self.root} has data of version {found}, this adtally works on version {FOLDER_VERSION}: "
                "use the adtally that wrote it, or a newer one, or restore a backup from before the upgrade "
                "(docs/upgrading.md)"
            )

    def take_lock(self) -> int:
        """Lock the folder for this process until it ends. Raises DataFolderError naming the holder."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DataFolderError(
                f"{self.root} is in use by process {holder}: stop it, or choose another --data-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def running(self) -> RunInfo | None:
        """Give the running system's addresses, None where none runs."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return None
        finally:
            os.close(descriptor)
        try:
            return msgspec.json.decode(self.run_info.read_bytes(), type=RunInfo)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None


def is_alive(pid: int) -> bool:
    """Tell whether a process is there, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def replace_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that readers see the old or the new content, and power loss leaves one of the two."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make new, renamed and removed names in a folder survive power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content survive power loss, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_file(path: Path, content: bytes) -> int:
    """Write behind a file's end, not durably; give its new size. Raises OSError, also where there is no such file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, content)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)

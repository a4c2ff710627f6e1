"""Loss of power: from the journals of shim.c works out what the disk would hold, and puts that in the folder's place.

The disk of this model keeps of a file what was written before its last sync began, and of a folder the names as they
were when its last sync began. Of everything younger, what survives is drawn: nothing, some writes, writes torn at a
sector's edge, or the first few changes of a folder's names. A sync that failed makes what it was to sync never arrive.
"""

import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

HEAD = struct.Struct("<IIQQQII")
SECTOR_BYTES = 512
EXCHANGE = 2
WRITE, TRUNCATE, SYNC, FAILED_SYNC, CREATE, MKDIR, RENAME, UNLINK, RMDIR, LINK, SYMLINK, SYNC_FOLDER = range(1, 13)


class Change(msgspec.Struct, frozen=True, order=True):
    """One line of a journal; the meaning of `a`, `b`, `one` and `two` follows from `op` (see shim.c)."""

    seq: int
    op: int
    a: int
    b: int
    one: bytes
    two: bytes


class Content:
    """A file: what is durable, and what was written since, in order (its seq, its place or new size, its bytes)."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.live = bytearray(durable)
        self.pending: list[tuple[int, int, bytes | None]] = []

    def change(self, seq: int, at: int, data: bytes | None) -> None:
        self.pending.append((seq, at, data))
        _apply(self.live, at, data)

    def sync(self, before: int, arrives: bool) -> None:
        """Make all that was written before `before` durable, or never so."""
        for seq, at, data in self.pending:
            if seq < before and arrives:
                _apply(self.durable, at, data)
        self.pending = [each for each in self.pending if each[0] >= before]

    def after_loss(self, rnd: random.Random, keeps: bool) -> bytes:
        left = bytearray(self.durable)
        for _, at, data in self.pending:
            fate = rnd.choice(["gone", "kept", "torn"]) if keeps else "gone"
            if fate == "torn" and data:
                data = data[: rnd.randrange(len(data) // SECTOR_BYTES + 1) * SECTOR_BYTES]
            if fate != "gone" and data != b"":
                _apply(left, at, data)
        return bytes(left)


class Link(msgspec.Struct, frozen=True):
    """A symbolic link."""

    target: bytes


class Folder:
    """A folder: its names that are durable, those of the moment, and the changes between them."""

    def __init__(self) -> None:
        self.durable: dict[bytes, Node] = {}
        self.live: dict[bytes, Node] = {}
        self.pending: list[tuple[int, bytes, Node | None]] = []

    def set(self, seq: int, name: bytes, node: "Node | None") -> None:
        self.pending.append((seq, name, node))
        _put(self.live, name, node)

    def sync(self, before: int) -> None:
        for seq, name, node in self.pending:
            if seq < before:
                _put(self.durable, name, node)
        self.pending = [each for each in self.pending if each[0] >= before]

    def after_loss(self, rnd: random.Random, keeps: bool) -> "dict[bytes, Node]":
        left = dict(self.durable)
        # File systems keep the order of such changes.
        for _, name, node in self.pending[: rnd.randint(0, len(self.pending)) if keeps else 0]:
            _put(left, name, node)
        return left


Node = Content | Folder | Link


class Disk:
    """What the model knows of a data folder since `watch`."""

    def __init__(self, root: Path, journals: Path) -> None:
        self._root = root
        self._base = os.fsencode(root)
        self._journals = journals
        self._top = Folder()
        self._files: dict[int, Content] = {}

    def watch(self) -> None:
        """Take what is there now for durable, and forget the journals: nothing may run on the folder."""
        shutil.rmtree(self._journals)
        self._journals.mkdir()
        self._files = {}
        self._top = self._read(self._root)

    def replay(self) -> None:
        """Take in what the processes did since `watch`; they must be dead."""
        for change in sorted(each for path in self._journals.iterdir() for each in read_journal(path)):
            self._take(change)

    def lose_power(self, rnd: random.Random, keeps: bool) -> None:
        """Put what is left after a loss of power in the folder's place; without `keeps` nothing unsynced is left."""
        shutil.rmtree(self._root)
        self._root.mkdir()
        self._write(self._root, self._top, lambda folder: folder.after_loss(rnd, keeps), rnd, keeps)

    def differences(self) -> list[str]:
        """Give the files below the root whose content is not what the journals tell: the shim missed a call.

        Except for what is shared memory, and is written without calls.
        """
        return list(self._compare(self._root, self._top))

    def _compare(self, path: Path, folder: Folder) -> Iterator[str]:
        names = {os.fsencode(entry.name): entry for entry in path.iterdir()}
        for name in sorted(names.keys() | folder.live.keys()):
            node, entry = folder.live.get(name), names.get(name)
            if name.endswith(b"-shm"):
                continue
            if entry is None or node is None:
                yield f"{path / os.fsdecode(name)}: {'not' if entry is None else 'only'} on the disk"
            elif isinstance(node, Folder):
                yield from self._compare(entry, node)
            elif isinstance(node, Content) and entry.read_bytes() != node.live:
                yield f"{entry}"

    def _take(self, change: Change) -> None:
        seq, op = change.seq, change.op
        if op in (WRITE, TRUNCATE, SYNC, FAILED_SYNC):
            file = self._files.setdefault(change.a, Content())
            if op in (WRITE, TRUNCATE):
                file.change(seq, change.b, change.one if op == WRITE else None)
            else:
                file.sync(change.b, arrives=op == SYNC)
        elif op == SYNC_FOLDER:
            folder = self._find(change.one)
            if isinstance(folder, Folder):
                folder.sync(change.b)
        elif op == CREATE:
            # The inode may have been another file's before.
            self._files[change.a] = Content()
            self._set(seq, change.one, self._files[change.a])
        elif op == MKDIR:
            self._set(seq, change.one, Folder())
        elif op in (UNLINK, RMDIR):
            self._set(seq, change.one, None)
        elif op == SYMLINK:
            self._set(seq, change.two, Link(change.one))
        else:
            moved, other = self._find(change.one), self._find(change.two)
            self._set(seq, change.two, moved)
            if op == RENAME:
                self._set(seq, change.one, other if change.a & EXCHANGE else None)

    def _parts(self, path: bytes) -> list[bytes]:
        return [part for part in path[len(self._base) :].split(b"/") if part]

    def _find(self, path: bytes) -> Node | None:
        node: Node | None = self._top
        for part in self._parts(path):
            node = node.live.get(part) if isinstance(node, Folder) else None
        return node

    def _set(self, seq: int, path: bytes, node: Node | None) -> None:
        *above, name = self._parts(path)
        folder = self._find(b"/".join([self._base, *above]))
        if isinstance(folder, Folder):
            folder.set(seq, name, node)

    def _read(self, path: Path) -> Folder:
        folder = Folder()
        for entry in path.iterdir():
            node: Node
            if entry.is_symlink():
                node = Link(os.fsencode(entry.readlink()))
            elif entry.is_dir():
                node = self._read(entry)
            else:
                node = self._files[entry.stat().st_ino] = Content(entry.read_bytes())
            folder.durable[os.fsencode(entry.name)] = folder.live[os.fsencode(entry.name)] = node
        return folder

    def _write(
        self,
        path: Path,
        folder: Folder,
        names_of: Callable[[Folder], dict[bytes, Node]],
        rnd: random.Random,
        keeps: bool,
    ) -> None:
        for raw, node in names_of(folder).items():
            entry = path / os.fsdecode(raw)
            if isinstance(node, Folder):
                entry.mkdir()
                self._write(entry, node, names_of, rnd, keeps)
            elif isinstance(node, Link):
                entry.symlink_to(os.fsdecode(node.target))
            elif not entry.name.endswith("-shm"):
                # Shared memory does not outlive the machine.
                entry.write_bytes(node.after_loss(rnd, keeps))


def read_journal(path: Path) -> Iterator[Change]:
    """Give the changes of one process; a line that its death cut off is none."""
    raw = path.read_bytes()
    place = 0
    while place + HEAD.size <= len(raw):
        op, _, seq, a, b, n1, n2 = HEAD.unpack_from(raw, place)
        one, two = place + HEAD.size, place + HEAD.size + n1
        place = two + n2
        if place <= len(raw):
            yield Change(seq, op, a, b, raw[one:two], raw[two:place])


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        content.extend(bytes(at - len(content)))
        return
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


def _put(names: dict[bytes, Node], name: bytes, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node

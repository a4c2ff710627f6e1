"""Dead letters come back into the log once they are events, and only then."""

import random
import signal
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adtally.config import Config
from adtally.errors import InvalidValueError, NotFoundError
from adtally.event import Closing, Event, decode_event, encode_event
from adtally.eventlog.port import REPLAYED_LETTERS, DeadLetter, Partition, Position
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.folder import DataFolder
from adtally.history.letters import LetterDesk, read_events
from adtally.wiring import open_letters
from support.import_log import Logged, read_log

NOW_MS = 1_795_000_000_000
EVENT = Event("e1", 41, NOW_MS - 90_000, "ad", "cmp", "adv", "u", "mobile", "ok", "192.0.2.0/24", "agent")
GOOD = encode_event(EVENT)
P, AT = Partition("edge-0"), Position("00000001-00000002-000003")


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    return folder


def desk(folder: DataFolder, payload: bytes) -> LetterDesk:
    letters = SqliteDeadLetters(folder.dead_letters)
    letters.put([DeadLetter(P, AT, "no event", payload, NOW_MS - 1_000)])
    letters.close()
    return open_letters(folder, Config())


def replayed(folder: DataFolder) -> Logged:
    return read_log(folder.log, REPLAYED_LETTERS)


def test_a_letter_that_is_an_event_after_all_comes_back_as_itself(folder: DataFolder) -> None:
    opened = desk(folder, GOOD)
    assert opened.replay(P, AT, None, NOW_MS).events == 1
    assert replayed(folder).events == [EVENT]
    assert opened.get(P, AT).replayed_ms == NOW_MS


def test_a_letter_that_is_no_event_is_refused_and_not_marked(folder: DataFolder) -> None:
    opened = desk(folder, GOOD[:-5])
    with pytest.raises(InvalidValueError, match="payload: is no event"):
        opened.replay(P, AT, None, NOW_MS)
    assert opened.get(P, AT).replayed_ms is None
    assert not (folder.log / REPLAYED_LETTERS).exists()


def test_a_mended_payload_takes_the_letters_place(folder: DataFolder) -> None:
    opened = desk(folder, b"\xff")
    opened.replay(P, AT, GOOD, NOW_MS)
    assert replayed(folder).events == [EVENT]
    assert opened.get(P, AT).payload == b"\xff"


def test_replaying_again_names_the_same_event_whether_or_not_it_has_a_number(folder: DataFolder) -> None:
    without = {name: value for name, value in msgspec.to_builtins(EVENT).items() if name not in ("edge_id", "seq")}
    opened = desk(folder, GOOD)
    for payload in (None, msgspec.json.encode(without)):
        for later_ms in (0, 60_000):
            opened.replay(P, AT, payload, NOW_MS + later_ms)
    events = replayed(folder).events
    assert len(events) == 4
    own = {(event.edge_id, event.seq) for event in events} - {("e1", 41)}
    assert len(own) == 1
    edge_id, seq = own.pop()
    assert edge_id.startswith("letter-")
    assert seq == 1
    assert [c.last_seq for c in replayed(folder).closings(edge_id)] == [0, 0, 1, 1]


def test_several_lines_are_several_events_and_one_bad_one_refuses_all(folder: DataFolder) -> None:
    other = encode_event(msgspec.structs.replace(EVENT, seq=42))
    opened = desk(folder, b"?")
    with pytest.raises(InvalidValueError, match="line 2: "):
        opened.replay(P, AT, GOOD + b"\n{}\n" + other, NOW_MS)
    assert opened.replay(P, AT, GOOD + b"\n\n" + other + b"\n", NOW_MS).events == 2
    assert [event.seq for event in replayed(folder).events] == [41, 42]


def test_an_unknown_letter_is_named(folder: DataFolder) -> None:
    with pytest.raises(NotFoundError, match="edge-0 9"):
        desk(folder, GOOD).replay(P, Position("9"), None, NOW_MS)


def test_fields_that_this_version_does_not_know_are_kept() -> None:
    fields = msgspec.to_builtins(EVENT) | {"later": {"x": [1, 2]}}
    (encoded,), own = read_events(msgspec.json.encode(fields), "letter-1", NOW_MS)
    assert msgspec.json.decode(encoded) == fields
    assert own == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seq": 0}, "seq: 0 is less than 1"),
        ({"seq": "1"}, "Expected `int`"),
        ({"v": 2}, "v: 2 is not 1"),
        ({"verdict": "fine"}, "verdict: 'fine' is none of ok, head"),
        ({"device": "fridge"}, "device: 'fridge' is none of"),
        ({"ad_id": ""}, "ad_id: is empty"),
        ({"user_id": "a\0b"}, "user_id: "),
        ({"impression_id": "x" * 129}, "impression_id: has 129 bytes"),
        ({"ts_ms": 5}, "before 2000"),
        ({"ts_ms": NOW_MS + 1}, "in the future"),
        ({"ip_prefix": "192.0.2.77"}, "ip_prefix: '192.0.2.77' is neither"),
        ({"ip_prefix": "192.0.2.77/24"}, "is neither"),
        ({"ip_prefix": "2001:db8::/32"}, "is neither"),
    ],
)
def test_what_no_edge_would_have_written_is_no_event(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValueError) as raised:
        read_events(msgspec.json.encode(msgspec.to_builtins(EVENT) | change), "letter-1", NOW_MS)
    assert reason in str(raised.value)


@pytest.mark.parametrize("payload", [b"", b"\n \n", b"[]", b"7", b"\xff\xfe", b'{"v":1}'])
def test_what_is_not_even_json_of_an_event_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidValueError, match="payload: is"):
        read_events(payload, "letter-1", NOW_MS)


KILLED = """
import os, signal, sys
from pathlib import Path
from adtally import faultpoint, wiring
from adtally.config import Config
from adtally.folder import DataFolder
faultpoint.on_reach = lambda name: os.kill(os.getpid(), signal.SIGKILL)
wiring.open_letters(DataFolder(Path(sys.argv[1])), Config()).replay(*sys.argv[2:4], None, int(sys.argv[4]))
"""


def test_a_replay_that_is_killed_closes_no_edge_but_its_own(folder: DataFolder) -> None:
    """The event's own edge may be running: who said that it vanished would hide what it loses later."""
    opened = desk(folder, GOOD)
    command = [sys.executable, "-c", KILLED, str(folder.root), P, AT, str(NOW_MS)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert opened.get(P, AT).replayed_ms is None
    opened.replay(P, AT, None, NOW_MS)
    logged = replayed(folder)
    assert logged.numbers("e1") == [41, 41]
    assert {record.edge_id for record in logged.controls if isinstance(record, Closing)} == {logged.controls[0].edge_id}
    assert logged.closings("e1") == []


def test_bytes_that_were_flipped_never_bring_back_an_event_that_was_not(seed: int) -> None:
    """Either the payload is refused, or what it says now could have been written by an edge."""
    rnd = random.Random(seed)
    for _ in range(500):
        raw = bytearray(GOOD)
        raw[rnd.randrange(len(raw))] ^= 1 << rnd.randrange(8)
        try:
            (encoded,), _ = read_events(bytes(raw), "letter-1", NOW_MS)
        except (InvalidValueError, ValueError):
            continue
        event = decode_event(encoded)
        assert (event.verdict, event.device, event.v) == ("ok", "mobile", 1)
        assert ip_network(event.ip_prefix).prefixlen == 24

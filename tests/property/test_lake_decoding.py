"""Arrow's way into the lake against msgspec's, line by line: the same events and the same dead letters."""

import msgspec
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adtally.event import Event, decode_event, encode_event
from adtally.eventlog.port import BEGINNING, Partition, Position, Record
from adtally.lake.decoding import decode_fast
from adtally.lake.inlet import Inlet
from support.lake_events import EVENT, NOON_MS, click
from support.memory_log import MemoryLog

text = st.text(
    st.characters(exclude_categories=()) | st.sampled_from('"\\/\0\n\r\x1f\x7f\u2028é\U0001f600 nul'), max_size=8
)
clean = text.filter(lambda value: not any("\ud800" <= char <= "\udfff" for char in value))
numbers = st.integers(0, 10) | st.integers(-(2**70), 2**70)
events = st.builds(
    Event,
    edge_id=st.just("e1"),
    seq=numbers,
    ts_ms=st.integers(NOON_MS, NOON_MS + 10_000) | numbers,
    ad_id=clean,
    campaign_id=clean,
    advertiser_id=clean,
    user_id=clean,
    device=clean,
    verdict=clean,
    ip_prefix=clean,
    user_agent=clean,
    impression_id=st.none() | clean,
    referrer_host=st.none() | clean,
    v=st.just(1) | numbers,
)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**64), st.floats(), text, st.lists(st.integers(), max_size=2),
    st.just({"record": "heartbeat"}),
)  # fmt: skip
FIELDS = (*Event.__struct_fields__, "unknown", "record", "", "ad_ID")


@st.composite
def changed_fields(draw: st.DrawFn) -> bytes:
    """A line with fields that are left out, of another type, or unknown."""
    fields = msgspec.json.decode(encode_event(EVENT))
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=3)):
        if draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = draw(values)
    try:
        return msgspec.json.encode(fields)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        return b"{}"


@st.composite
def changed_bytes(draw: st.DrawFn) -> bytes:
    """A line with bytes that are cut out, put in or repeated, most of them where JSON would notice."""
    line = encode_event(draw(st.just(EVENT) | events))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(line)))
        end = draw(st.integers(begin, min(len(line), begin + 12)))
        put = draw(
            st.sampled_from(
                [b"", b"{", b"}", b'"', b",", b":", b" ", b"\t", b"\r", b"\n", b"\0", b"\xff", b"\xc3\xa9", b"\\u0041",
                 b"\\ud800", b"\\ud83d\\ude00", b"\\x", b"null", b"true", b"1e3", b"-1", b"-0", b"1.0", b"007", b"NaN",
                 b'"ad_id":"twice",', b'"seq":7,', b'"v":1,', b'"v":null,', b"/**/", b"}{", b"}\n{", b"[]",
                 line[begin:end] * 2]
            )
        )  # fmt: skip
        line = line[:begin] + put + line[end:]
    return line


lines = st.one_of(events.map(encode_event), changed_fields(), changed_bytes())


def read(payloads: list[bytes]) -> tuple[pa.Table | None, list[tuple[str, str]]]:
    """What the archiver makes of it: its events and dead letters."""
    log = MemoryLog()
    for payload in payloads:
        log.append_raw("p", payload, NOON_MS)
    inlet = Inlet(Partition("p"), BEGINNING)
    inlet.read(log.reader("archiver"), NOON_MS, 1 << 20)
    taken, tables = inlet.take()
    letters = [(str(letter.position), letter.reason) for letter in taken.letters]
    return (pa.concat_tables(tables) if tables else None), letters


def expected(payloads: list[bytes]) -> tuple[list[Event], list[tuple[str, str]]]:
    """The same, in the plainest way there is. What no column can hold is left to other tests."""
    found: list[Event] = []
    letters: list[tuple[str, str]] = []
    for n, payload in enumerate(payloads):
        for index, line in enumerate(payload.split(b"\n")):
            try:
                event = decode_event(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                letters.append((f"{n:08d}-{index:06d}", str(error)))
                continue
            if 0 <= event.ts_ms < 253_402_300_800_000 and abs(event.seq) < 2**63 and abs(event.v) < 2**15:
                found.append(event)
            else:
                letters.append((f"{n:08d}-{index:06d}", ""))
    return found, letters


def as_events(table: pa.Table | None) -> list[Event]:
    if table is None:
        return []
    found = table.select(list(Event.__struct_fields__)).to_pylist()
    return [Event(**row) for row in found]


@settings(max_examples=1_500, deadline=None)
@given(st.lists(st.lists(lines, min_size=1, max_size=3).map(b"\n".join), min_size=1, max_size=3))
@example([encode_event(EVENT).replace(b",", b",\n", 1) + encode_event(EVENT)])
@example([encode_event(EVENT) + encode_event(EVENT) + b"\n"])
@example([encode_event(EVENT) + b"\n\n" + encode_event(EVENT)])
@example([encode_event(EVENT).replace(b"u1", b"\\ud800")])
@example([encode_event(EVENT)[:-1] + b',"v":null}'])
@example([encode_event(EVENT)[:-1] + b',"impression_id":null}'])
@example([encode_event(EVENT)[:-1] + b',"seq":5,"ad_id":"twice"}'])
@example([encode_event(EVENT) + b"\0\n" + encode_event(EVENT)])
@example([encode_event(EVENT) + encode_event(EVENT)])
@example([encode_event(EVENT) + encode_event(EVENT) + b"\0}\n" + encode_event(EVENT)])
@example([encode_event(EVENT) + b" "])
@example([b"\n" + encode_event(EVENT)])
@example([encode_event(EVENT)[:-1] + b',"\xff":1}'])
@example([encode_event(EVENT)[:-1] + b',"\\ud800":"\xff"}'])
@example([b""])
@example([b"[]"])
def test_the_events_and_dead_letters_are_what_msgspec_says_line_by_line(payloads: list[bytes]) -> None:
    table, letters = read(payloads)
    wanted, wanted_letters = expected(payloads)
    assert as_events(table) == wanted
    assert [place for place, _ in letters] == [place for place, _ in wanted_letters]
    assert all(reason in ("", found) for (_, found), (_, reason) in zip(letters, wanted_letters, strict=True))


def record(payload: bytes) -> Record:
    return Record(Partition("p"), "events", NOON_MS, payload, Position("00000000-000000"), Position("1"))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.builds(click, st.integers(1, 2**62), ad_id=clean, user_id=clean), min_size=1, max_size=5))
def test_what_edges_write_is_read_the_fast_way(clicks: list[Event]) -> None:
    payload = b"\n".join(map(encode_event, clicks))
    table = decode_fast([record(payload)], MemoryLog().reader("archiver"))
    suspicious = b"null" in payload or b"\0" in payload
    assert suspicious or as_events(table) == clicks

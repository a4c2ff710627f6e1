"""What every store of dead letters must hold to."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from adtally.errors import LogError, NotFoundError
from adtally.eventlog.port import DeadLetter, DeadLetters, Partition, Position
from adtally.eventlog.sql.deadletters import SqlDeadLetters
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from support.databases import postgres_url, sqlite_file
from support.memory_log import MemoryDeadLetters

P, Q = Partition("edge-0"), Partition("edge-1")


def letter(partition: Partition, position: str, payload: bytes = b"\x00x") -> DeadLetter:
    return DeadLetter(partition, Position(position), "no event", payload, 5)


def file(request: pytest.FixtureRequest) -> DeadLetters:
    return SqliteDeadLetters(sqlite_file(request))


def sqlite(request: pytest.FixtureRequest) -> DeadLetters:
    return SqlDeadLetters.open(sqlite_file(request))


def postgres(request: pytest.FixtureRequest) -> DeadLetters:
    return SqlDeadLetters.open(postgres_url(request))


def memory(_: pytest.FixtureRequest) -> DeadLetters:
    return MemoryDeadLetters()


@pytest.fixture(params=[file, sqlite, memory, pytest.param(postgres, marks=pytest.mark.servers)])
def letters(request: pytest.FixtureRequest) -> Iterator[DeadLetters]:
    opened: DeadLetters = request.param(request)
    yield opened
    opened.close()


def test_letters_are_kept_once_for_each_place(letters: DeadLetters) -> None:
    first = letter(P, "1")
    letters.put([first, letter(P, "2")])
    letters.put([DeadLetter(P, Position("1"), "again", b"z", 9)])
    assert letters.count() == 2
    assert letters.list(1) == [first]
    assert letters.get(P, Position("1")) == first


def test_pages_by_the_last_place_show_every_letter_once(letters: DeadLetters) -> None:
    kept = [letter(partition, f"{number:02}") for partition in (P, Q) for number in range(5)]
    letters.put(kept[::-1])
    seen: list[DeadLetter] = []
    while page := letters.list(3, (seen[-1].partition, seen[-1].position) if seen else None):
        seen += page
    assert seen == kept


def test_letters_hold_any_bytes_and_places_are_ordered_by_their_bytes(letters: DeadLetters) -> None:
    places = ["1", "10", "A", "B", "Z", "a", "a-1", "a_1", "b", "\u00e9", "\U0001f45f"]
    letters.put([letter(P, place, bytes(range(256))) for place in reversed(places)])
    assert [each.position for each in letters.list(99)] == places
    assert letters.get(P, Position("Z")).payload == bytes(range(256))


def test_no_reason_keeps_a_letter_out(letters: DeadLetters) -> None:
    letters.put([DeadLetter(P, Position("1"), "odd: \0", b"x", 5)])
    assert letters.get(P, Position("1")).reason.startswith("odd: ")


def test_no_letters_are_no_work(letters: DeadLetters) -> None:
    letters.put([])
    assert letters.count() == 0


def test_a_letter_that_is_not_there_is_named(letters: DeadLetters) -> None:
    with pytest.raises(NotFoundError, match="edge-0 7"):
        letters.get(P, Position("7"))


def test_a_replayed_letter_stays_and_says_so(letters: DeadLetters) -> None:
    letters.put([letter(P, "1"), letter(P, "2")])
    letters.mark_replayed(P, Position("1"), 77)
    letters.put([letter(P, "1")])
    assert [each.replayed_ms for each in letters.list(9)] == [77, None]
    assert (letters.count(), letters.waiting()) == (2, 1)


def test_a_file_from_before_replays_is_migrated(tmp_path: Path) -> None:
    old = apsw.Connection(str(tmp_path / "dead.db"))
    old.execute(
        "CREATE TABLE dead_letter (partition TEXT, position TEXT, reason TEXT NOT NULL, payload BLOB NOT NULL, "
        "found_ms INTEGER NOT NULL, PRIMARY KEY (partition, position)) WITHOUT ROWID"
    )
    old.execute("INSERT INTO dead_letter VALUES ('edge-0', '1', 'no event', x'0078', 5)")
    old.close()
    for _ in range(2):
        letters = SqliteDeadLetters(tmp_path / "dead.db")
        assert letters.list(9) == [letter(P, "1")]
        letters.close()


def test_a_file_that_is_no_database_is_reported_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "dead.db").write_bytes(b"x" * 8_192)
    with pytest.raises(LogError, match=r"dead\.db"):
        SqliteDeadLetters(tmp_path / "dead.db")

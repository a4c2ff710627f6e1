"""`adtally deadletters`, on the folder alone and through the API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adtally.event import Event, encode_event
from adtally.eventlog.port import REPLAYED_LETTERS, DeadLetter, Partition, Position
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.folder import DataFolder
from support.import_log import read_log
from support.serving import Served

from .conftest import Run

EVENT = Event("e1", 41, 1_700_000_000_000, "ad", "cmp", "adv", "u", "mobile", "ok", "192.0.2.0/24", "agent")
BAD = b'\x1b[31m\xff{"v":1'
LETTERS = [
    DeadLetter(Partition("edge-0"), Position("0001"), "no event \x1b[31m", BAD, 1_700_000_000_000),
    DeadLetter(Partition("edge-0"), Position("0002"), "Expected `int`", encode_event(EVENT), 1_700_000_001_000),
    DeadLetter(Partition("edge-1"), Position("0001"), "no event", b"", 1_700_000_002_000),
]


class Place:
    """Commands against a place that holds LETTERS, and the log that it writes to."""

    def __init__(self, run: Run, log: Path) -> None:
        self.run = run
        self.log = log

    def events(self) -> list[Event]:
        return read_log(self.log, REPLAYED_LETTERS).events


@pytest.fixture(params=["folder", "api"])
def place(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        folder = DataFolder(tmp_path / "data")
        folder.prepare()
        letters = SqliteDeadLetters(folder.dead_letters)
        letters.put(LETTERS)
        letters.close()
        yield Place(lambda *arguments: run(*arguments, "--data-dir", folder.root), folder.log)
        return
    with Served(tmp_path) as served:
        served.dead_letters.put(LETTERS)
        yield Place(lambda *arguments: run(*arguments, "--url", served.url, "--key", served.admin_key), served.log)


def test_letters_are_listed_in_pages(place: Place) -> None:
    first = place.run("deadletters", "list", "--limit", 2, "--json").json
    assert [(each["partition"], each["position"]) for each in first["letters"]] == [
        ("edge-0", "0001"),
        ("edge-0", "0002"),
    ]
    assert first["letters"][0]["payload_bytes"] == len(BAD)
    assert first["next"] == "edge-0/0002"
    rest = place.run("deadletters", "list", "--after", first["next"], "--json").json
    assert ([each["partition"] for each in rest["letters"]], rest["next"]) == (["edge-1"], None)


def test_a_list_is_a_table(place: Place) -> None:
    listed = place.run("deadletters", "list", "--limit", 2)
    assert listed.out.splitlines()[0].split() == ["partition", "position", "found", "replayed", "bytes", "reason"]
    assert listed.out.splitlines()[2].split()[:3] == ["edge-0", "0002", "2023-11-14T22:13:21+00:00"]
    assert "\x1b" not in listed.out
    assert listed.err == "there are more: --after edge-0/0002, or --limit\n"


def test_a_letter_is_shown_with_nothing_that_a_terminal_obeys(place: Place) -> None:
    shown = place.run("deadletters", "show", "edge-0", "0001")
    assert shown.code == 0
    assert shown.out.splitlines()[-1] == r'payload    \x1b[31m\xff{"v":1'
    assert "\x1b" not in shown.out


def test_a_payload_that_is_written_raw_can_be_mended_and_replayed(place: Place, tmp_path: Path) -> None:
    raw = place.run("deadletters", "show", "edge-0", "0002", "--raw").out
    assert raw.encode() == encode_event(EVENT)
    (tmp_path / "mended.json").write_text(raw.replace('"seq":41', '"seq":43'))
    ran = place.run("deadletters", "replay", "edge-0", "0001", "--payload", tmp_path / "mended.json")
    assert (ran.code, ran.out) == (0, "edge-0 0001: 1 event appended to the log\n")
    assert [event.seq for event in place.events()] == [43]


def test_a_replayed_letter_says_so(place: Place) -> None:
    ran = place.run("deadletters", "replay", "edge-0", "0002", "--json")
    assert ran.json["events"] == 1
    assert place.events() == [EVENT]
    listed = place.run("deadletters", "list", "--json").json["letters"]
    assert [each["replayed_ms"] for each in listed] == [None, ran.json["replayed_ms"], None]
    assert ran.json["replayed_ms"] > 0


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "payload: is no event"),
        (b"{}", "payload: is no event"),
        (b"\xff", "payload: is no event"),
        (b"", "empty"),
    ],
)
def test_what_is_no_event_is_answered_with_1(place: Place, tmp_path: Path, payload: bytes | None, reason: str) -> None:
    options: list[object] = []
    if payload is not None:
        (tmp_path / "mended").write_bytes(payload)
        options = ["--payload", tmp_path / "mended"]
    ran = place.run("deadletters", "replay", "edge-0", "0001", *options)
    assert ran.code == 1
    assert reason in ran.err
    assert not (place.log / REPLAYED_LETTERS).exists()


def test_an_unknown_letter_is_answered_with_1(place: Place) -> None:
    for arguments in (("show", "edge-0", "0009"), ("replay", "edge-9", "0001"), ("show", "a/b", "c d")):
        ran = place.run("deadletters", *arguments)
        assert ran.code == 1
        assert "no dead letter" in ran.err


def test_advertisers_see_no_dead_letters(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        served.ad("ad", "acme")
        served.dead_letters.put(LETTERS)
        theirs = served.as_advertiser("acme")
        wanted = {"partition": "edge-0", "position": "0002"}
        answers = [
            theirs.get("/v1/deadletters"),
            theirs.get("/v1/deadletters/edge-0/0002"),
            theirs.post("/v1/deadletters/replay", json=wanted),
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 403]
        assert not served.log.exists()

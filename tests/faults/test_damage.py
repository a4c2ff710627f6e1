"""Bytes of log, lake and store are flipped or cut off: no wrong number is final, and somebody is told where it is."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adtally.eventlog.port import Record
from faults.conftest import laboratory
from faults.lab import ADS, Lab
from support.embedded import Embedded, wait_for
from support.log_oracle import Appended, as_of_s, compare_numbers, read_log

pytestmark = pytest.mark.system

TAKES_ROWS_S_MAX = 30.0


@pytest.fixture
def small_segments(library: Path, tmp_path: Path) -> Iterator[Lab]:
    """Give a system whose log has many segments, of which none is in the lake before two minutes have passed."""
    more = {"ADTALLY_LOG__SEGMENT_BYTES": "60000", "ADTALLY_LAKE__FLUSH_MS": "120000"}
    yield from laboratory(library, tmp_path, more)


def damage(file: Path, rnd: random.Random) -> str:
    """Flip a bit of a file, or some, or cut it off; give what was done."""
    content = bytearray(file.read_bytes())
    place = rnd.randrange(len(content))
    kind = rnd.choice(["a bit", "a page", "the end"])
    if kind == "a bit":
        content[place] ^= 1 << rnd.randrange(8)
    elif kind == "a page":
        content[place : place + 4_096] = rnd.randbytes(len(content[place : place + 4_096]))
    else:
        del content[place:]
    file.write_bytes(content)
    return f"{kind} of {file.name} at {place} of {len(content)}"


def intact(file: Path) -> bool:
    """Tell whether a file has clicks to lose: shared memory is made anew by each start."""
    return file.stat().st_size > 8_192 and not file.name.endswith("-shm")


def reconcile(system: Embedded, *arguments: str, expect: int | None = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(system.command("reconcile", "--json", *arguments, expect=expect))
    return answer


def hours(system: Embedded) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads(system.command("ledger", "--since", "1d", "--json"))["lines"]
    return [line for line in lines if line["received"] or line["missing"] or line["state"] != "final"]


def test_damaged_segments_cost_what_they_held_and_become_dead_letters(small_segments: Lab, seed: int) -> None:
    lab, rnd = small_segments, random.Random(seed)
    lab.system.start()
    with lab.load(1_500, 4, rnd):
        pass
    before = read_log(lab.system.folder)
    lab.shim.kill_all()
    lab.system.wait_killed()
    for folder in sorted((lab.system.folder / "log").glob("edge-*")):
        finished = sorted(folder.glob("*.segment"))[:-1]
        victim = rnd.choice([file for each in finished for file in folder.glob(f"{each.name}*") if intact(file)])
        print(folder.name, damage(victim, rnd))
    places: list[str] = []

    def meets(record: Record) -> None:
        if record.kind == "damaged":
            places.append(f"{record.partition} {record.at}: {record.reason}")

    lab.system.start()
    lab.set_clock(2 * 3_600)
    lab.await_current()
    left = read_log(lab.system.folder, meets)
    gone = lost(before, left)
    print(f"{len(gone)} of {len(before)} events are gone, damaged records: {places}")
    assert places or not gone
    letters = json.loads(lab.system.command("deadletters", "list", "--json"))
    assert bool(letters["letters"]) == bool(places), "what cannot be read is a dead letter with its place"
    # A regular pass may have been here before.
    reconcile(lab.system, expect=None)
    # What a dead letter explains is not missing; where its neighbours do not tell which numbers it held, it is.
    for line in hours(lab.system):
        assert (line["state"] == "damaged") == (line["missing"] > 0), line
        if line["state"] == "damaged":
            reconcile(lab.system, "--hour", line["hour"][:13], "--accept-missing")
    compare_numbers(lab.system, left, ADS, status="final")


def lost(before: Appended, left: Appended) -> set[tuple[str, int]]:
    return {(event.edge_id, event.seq) for _, event in before} - {(event.edge_id, event.seq) for _, event in left}


def test_a_damaged_file_of_the_lake_is_named_and_changes_no_number(
    lab: Lab, seed: int, pytestconfig: pytest.Config
) -> None:
    rnd = random.Random(seed)
    lab.system.start()
    with lab.load(1_000, 2, rnd):
        pass
    lab.set_clock(2 * 3_600)
    lab.await_current()
    reconcile(lab.system)
    # The pass that finds hours final merges their files, and the next one takes note of that.
    reconcile(lab.system)
    lab.compare("final")
    hour = hours(lab.system)[-1]["hour"][:13]
    date, _, number = hour.partition("T")
    folder = lab.system.folder / "lake" / "raw" / f"date={date}" / f"hour={number}"
    for _ in range(2 * pytestconfig.getoption("--damages")):
        file = rnd.choice(sorted(folder.glob("*.parquet")))
        whole = file.read_bytes()
        told = damage(file, rnd)
        answer = reconcile(lab.system, "--hour", hour, expect=None)
        print(told, [line["note"] for line in answer["hours"]], answer["failures"])
        if answer["hours"] or answer["failures"]:
            assert file.name in json.dumps(answer), "nobody is told which file it is"
        lab.compare("final")
        file.write_bytes(whole)
        reconcile(lab.system, "--hour", hour)
    lab.compare("final")


def numbers_or_none(lab: Lab) -> str:
    """Fail where a damaged store gives a wrong number; it may give none, or take no rows and so never be current."""
    try:
        try:
            wait_for(lambda: as_of_s(lab.system) > 0, TAKES_ROWS_S_MAX, "the store takes rows")
        except AssertionError as error:
            return str(error)
        return f"{lab.compare('final').counted} clicks"
    except httpx.HTTPStatusError as error:
        return error.response.text
    except httpx.TransportError as error:
        return f"nothing: {error!r}"


def test_a_damaged_store_gives_the_right_numbers_or_none_and_a_rebuild_heals_it(
    lab: Lab, seed: int, pytestconfig: pytest.Config
) -> None:
    rnd = random.Random(seed)
    lab.system.start()
    with lab.load(1_000, 2, rnd):
        pass
    lab.set_clock(2 * 3_600)
    lab.await_current()
    reconcile(lab.system)
    lab.compare("final")
    for _ in range(pytestconfig.getoption("--damages")):
        lab.system.stop()
        files = [
            file for file in sorted((lab.system.folder / "olap").rglob("*")) if file.is_file() and file.stat().st_size
        ]
        print([damage(file, rnd) for file in rnd.sample(files, 3)])
        try:
            lab.system.start()
        except AssertionError as error:
            print("does not start:", str(error)[-600:])
            lab.shim.kill_all()
            lab.system.wait_killed()
        else:
            print("says:", numbers_or_none(lab))
            lab.system.stop()
        lab.system.command("rebuild", "--yes")
        lab.system.start()
        lab.compare("final")

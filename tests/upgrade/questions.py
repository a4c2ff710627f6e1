"""What is asked of a kept data folder, by the API and by the command line, and what of the answers must stay."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from support.embedded import Embedded

HERE = Path(__file__).parent
PASSING = frozenset(
    {"as_of", "final_through", "used_ms", "commit", "started", "finished", "duration_ms", "engine", "found_ms"}
)
"""Members that tell of the moment or of the process, not of what is kept."""

GRAINS = ("hour", "day", "week", "month")
ZONES = ("UTC", "Asia/Kathmandu", "Europe/Berlin")


class Kept(msgspec.Struct, frozen=True):
    """`kept.json`, beside a packed folder: what it holds and what it answered."""

    version: str
    commit: str
    made: str
    start: str
    """RFC 3339; all clicks lie between this and `end`."""
    end: str
    corrected: str
    """An hour with revisions, as the ledger names it."""
    minutes: list[tuple[str, str]]
    """Short ranges that are asked for minute by minute."""
    advertiser: str
    advertiser_key: str
    ads: list[str]
    found: dict[str, Any] = {}
    """Answers of the folder as it lies there, by question."""
    settled: dict[str, Any] = {}
    """Answers after the reconciler has done all that was due."""


def unpack(version: str, to: Path) -> tuple[Kept, Embedded]:
    """Unpack a kept folder as `to`/data."""
    with tarfile.open(HERE / version / "data.tar.xz") as archive:
        archive.extractall(to, filter="data")
    kept = msgspec.json.decode((HERE / version / "kept.json").read_bytes(), type=Kept)
    return kept, Embedded(to / "data")


def answers(system: Embedded, kept: Kept) -> dict[str, Any]:
    """Ask everything; give what was answered by question."""
    found = {}
    for path, key, params in _questions(kept):
        name = f"{path} {msgspec.json.encode(params).decode()}" + (" as the advertiser" if key else "")
        found[name] = system.api(path, key=key, **params)
    for letter in found['/v1/deadletters {"limit":"1000"}']["letters"]:
        path = f"/v1/deadletters/{letter['partition']}/{letter['position']}"
        found[path] = system.api(path)
    for line in (
        ("ads", "list", "--json"),
        ("ads", "export"),
        ("keys", "list", "--json"),
        ("deadletters", "list", "--json"),
        ("ledger", "--hour", kept.corrected, "--json"),
    ):
        found["adtally " + " ".join(line)] = _read(system.command(*line))
    return found


def differences(kept: Any, found: Any, place: str = "") -> Iterator[str]:
    """Give where an answer is no longer what it was.

    Members may be added. What was provisional may have become final, with the same numbers; what was final stays so,
    with its revision. The ledger may have more lines than it had.
    """
    if isinstance(kept, dict) and isinstance(found, dict):
        settles = {"status", "revision"} if kept.get("status") == "provisional" else set()
        for member, value in kept.items():
            if member not in PASSING | settles:
                yield from differences(value, found.get(member), f"{place}.{member}")
    elif isinstance(kept, list) and isinstance(found, list):
        if len(kept) != len(found) and not (place.startswith("/v1/ledger ") and len(found) > len(kept)):
            yield f"{place}: {len(kept)} were there, now {len(found)}"
        for index, (before, now) in enumerate(zip(kept, found, strict=False)):
            yield from differences(before, now, f"{place}[{index}]")
    elif kept != found:
        yield f"{place}: was {kept!r}, is {found!r}"


def _questions(kept: Kept) -> Iterator[tuple[str, str | None, dict[str, str]]]:
    """Give path, key (None for the admin's) and parameters."""
    whole = {"start": kept.start, "end": kept.end}
    for ad_id in kept.ads:
        for granularity in GRAINS:
            yield "/metrics", None, {"ad_id": ad_id, "granularity": granularity, **whole}
        for zone in ZONES:
            yield "/metrics", None, {"ad_id": ad_id, "granularity": "day", "timezone": zone, **whole}
        for start, end in kept.minutes:
            yield "/metrics", None, {"ad_id": ad_id, "granularity": "minute", "start": start, "end": end}
            yield "/v1/quality", None, {"ad_id": ad_id, "start": start, "end": end}
    yield "/metrics", None, {"ad_id": kept.ads[0], "granularity": "hour", "group_by": "device", **whole}
    for group in ("campaign_id", "device", "ad_id"):
        yield "/v1/series", None, {"granularity": "day", "timezone": "Europe/Berlin", "group_by": group, **whole}
    for of in ("ads", "campaigns", "advertisers", "devices"):
        for by in ("clicks", "users"):
            yield "/v1/top", None, {"of": of, "by": by, **whole}
    yield "/v1/quality", None, whole
    yield "/v1/ledger", None, {"limit": "1000", **whole}
    yield f"/v1/ledger/{kept.corrected}", None, {}
    for path in ("/v1/ads", "/v1/campaigns", "/v1/advertisers", "/v1/deadletters"):
        yield path, None, {"limit": "1000"}
    yield "/v1/keys", None, {}
    for path in ("/v1/ads", "/v1/campaigns"):
        yield path, kept.advertiser_key, {"limit": "1000"}
    yield "/v1/series", kept.advertiser_key, {"granularity": "day", "group_by": "ad_id", **whole}


def _read(printed: str) -> Any:
    """Give what a command printed: JSON where it is, else the lines."""
    try:
        return msgspec.json.decode(printed)
    except msgspec.DecodeError:
        return printed.splitlines()

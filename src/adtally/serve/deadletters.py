"""Dead letters: what of the log could not be read, listed, shown and replayed by an admin."""

from typing import Annotated

import msgspec
from msgspec import Meta

from adtally.errors import InvalidValueError
from adtally.eventlog.port import DeadLetter, Partition, Position
from adtally.history.letters import LetterDesk, Replayed
from adtally.serve.ads import Limit, NoParams
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.values import Id

After = Annotated[str, Meta(description="The `next` of the page before; nothing for the first page.")]


class LettersParams(msgspec.Struct, frozen=True):
    """Which page of letters."""

    after: After = ""
    limit: Limit = 100


class LetterParams(msgspec.Struct, frozen=True):
    """Which letter."""

    partition: Id
    position: Id


class LetterLine(msgspec.Struct, frozen=True):
    """A letter as it is listed. Times are epoch milliseconds; `replayed_ms` is null for one that never was."""

    partition: str
    position: str
    reason: str
    payload_bytes: int
    found_ms: int
    replayed_ms: int | None


class LettersPage(msgspec.Struct, frozen=True):
    """Letters by place. `next` is what to send as `after` for the next page, null on the last one."""

    letters: list[LetterLine]
    next: str | None


class Letter(msgspec.Struct, frozen=True):
    """One letter. `payload` is Base64 of its bytes."""

    partition: str
    position: str
    reason: str
    payload: bytes
    found_ms: int
    replayed_ms: int | None


class ReplayWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which letter is to be replayed, and how."""

    partition: str
    position: str
    payload: Annotated[
        str | None, Meta(description="The mended payload: events as JSON, one a line. null takes the letter as it is.")
    ] = None


def list_letters(call: Call[LettersParams, NoBody]) -> LettersPage:
    """Answer GET /v1/deadletters."""
    return letters_page(call.services.letters, call.params.limit, call.params.after)


def get_letter(call: Call[LetterParams, NoBody]) -> Letter:
    """Answer GET /v1/deadletters/{partition}/{position}."""
    letter = call.services.letters.get(Partition(call.params.partition), Position(call.params.position))
    return Letter(*msgspec.structs.astuple(letter))


def replay_letter(call: Call[NoParams, ReplayWanted]) -> Replayed:
    """Answer POST /v1/deadletters/replay."""
    wanted = call.body
    payload = None if wanted.payload is None else wanted.payload.encode()
    return call.services.letters.replay(Partition(wanted.partition), Position(wanted.position), payload, call.now_ms)


def letters_page(desk: LetterDesk, limit: int, after: str) -> LettersPage:
    """Give the page behind another one's `next`, the first where that is empty. Raises InvalidValueError."""
    found = desk.list(limit + 1, _place(after) if after else None)
    lines = [_line(letter) for letter in found[:limit]]
    return LettersPage(lines, f"{lines[-1].partition}/{lines[-1].position}" if len(found) > limit else None)


def _place(text: str) -> tuple[Partition, Position]:
    partition, slash, position = text.rpartition("/")
    if not slash:
        raise InvalidValueError("after", f"{text!r} is not the `next` of a page")
    return Partition(partition), Position(position)


def _line(letter: DeadLetter) -> LetterLine:
    return LetterLine(
        letter.partition, letter.position, letter.reason, len(letter.payload), letter.found_ms, letter.replayed_ms
    )

"""Dead letters as commands see them: through the API of a running system, or in the folder where nothing runs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final, Protocol
from urllib.parse import quote

import msgspec

from adtally.cli.target import ApiClient, Target, config_file_of
from adtally.clock import Clock
from adtally.config import load
from adtally.errors import InvalidValueError
from adtally.eventlog.port import DeadLetter, Partition, Position
from adtally.history.letters import LetterDesk, Replayed
from adtally.serve.deadletters import Letter, LetterLine, LettersPage, letters_page

_PATH: Final = "/v1/deadletters"


class LetterAccess(Protocol):
    """What the command `deadletters` needs."""

    def page(self, limit: int, after: str) -> LettersPage:
        """Give letters by place, those behind the `next` of another page. Raises InvalidValueError."""
        ...

    def letter(self, partition: str, position: str) -> DeadLetter:
        """Give one letter. Raises NotFoundError."""
        ...

    def replay(self, partition: str, position: str, payload: bytes | None) -> Replayed:
        """Append a letter to the log again; see LetterDesk. Raises NotFoundError and InvalidValueError."""
        ...


class FolderLetters:
    """Works on the folder's dead letters and log themselves."""

    def __init__(self, desk: LetterDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def page(self, limit: int, after: str) -> LettersPage:
        """Give letters; see LetterAccess."""
        return letters_page(self._desk, limit, after)

    def letter(self, partition: str, position: str) -> DeadLetter:
        """Give one letter."""
        return self._desk.get(Partition(partition), Position(position))

    def replay(self, partition: str, position: str, payload: bytes | None) -> Replayed:
        """Replay a letter; see LetterAccess."""
        return self._desk.replay(Partition(partition), Position(position), payload, self._clock.now_ms())


class ApiLetters:
    """Asks a running system's API."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def page(self, limit: int, after: str) -> LettersPage:
        """Give letters; see LetterAccess. The API gives at most 1,000 at a time."""
        letters: list[LetterLine] = []
        place: str | None = after
        while place is not None and len(letters) < limit:
            answer = self._client.get(_PATH, after=place, limit=min(limit - len(letters), 1_000))
            page = msgspec.convert(answer, LettersPage)
            letters += page.letters
            place = page.next
        return LettersPage(letters, place)

    def letter(self, partition: str, position: str) -> DeadLetter:
        """Give one letter."""
        path = f"{_PATH}/{quote(partition, safe='')}/{quote(position, safe='')}"
        found = msgspec.json.decode(self._client.request("GET", path).content, type=Letter)
        return msgspec.convert(msgspec.structs.asdict(found), DeadLetter)

    def replay(self, partition: str, position: str, payload: bytes | None) -> Replayed:
        """Replay a letter; see LetterAccess."""
        try:
            text = None if payload is None else payload.decode()
        except UnicodeDecodeError as error:
            # As JSON it could not even be sent.
            raise InvalidValueError("payload", f"is no event: {error}") from None
        answer = self._client.post(f"{_PATH}/replay", {"partition": partition, "position": position, "payload": text})
        return msgspec.convert(answer, Replayed)


@contextmanager
def open_letter_access(target: Target, clock: Clock) -> Iterator[LetterAccess]:
    """Give the API's access where a system was named or runs, else the folder's. Raises DataFolderError."""
    if target.api_url is not None:
        with target.client() as client:
            yield ApiLetters(client)
        return
    from adtally import wiring

    target.folder.check_version()
    config = load(config_file_of(target.folder, None)).config
    with closing(wiring.open_letters(target.folder, config)) as desk:
        yield FolderLetters(desk, clock)

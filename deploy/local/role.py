"""One role of adtally as a process of a local cluster."""

import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local.server import Server, free_port

_SAYS_READY: Final = "is ready"


class Role(Server):
    """A role with a data folder and, if it answers HTTP, a port of its own; the configuration is everybody's."""

    def __init__(self, folder: Path, role: str, config: Path, *, index: int | None = None) -> None:
        super().__init__(folder)
        self.role = role
        self.name = role if index is None else f"{role}-{index}"
        self.port: int | None = free_port() if role in ("edge", "serve") else None
        self.metrics_port = self.port or free_port()
        self._config = config
        self._index = index
        self._log_begins = 0

    @classmethod
    def install(cls) -> None:
        """Do nothing: it is this checkout."""

    @property
    def address(self) -> str:
        """Give host:port of a role that answers HTTP."""
        return f"127.0.0.1:{self.port}"

    @property
    def data_folder(self) -> Path:
        """Give the role's data folder."""
        return self.folder / "data"

    def command(self) -> Sequence[str]:
        """Give the command as an operator writes it."""
        # What an earlier process of this role said is not what this one will say.
        self._log_begins = self.log_file.stat().st_size if self.log_file.exists() else 0
        files = ["--data-dir", str(self.data_folder), "--config", str(self._config)]
        index = ["--index", str(self._index - 1)] if self.role == "edge" and self._index is not None else []
        return [sys.executable, "-m", "adtally", self.role, *files, *index]

    def environment(self) -> Mapping[str, str]:
        """Give the settings in which roles of a kind differ."""
        name = "TELEMETRY__METRICS_PORT" if self.port is None else f"{self.role.upper()}__PORT"
        return {f"ADTALLY_{name}": str(self.metrics_port)}

    def ready(self) -> bool:
        """Ask, or look into the log where the role does not answer HTTP."""
        if self.port is None:
            return _SAYS_READY in self.log_file.read_bytes()[self._log_begins :].decode(errors="replace")
        with urllib.request.urlopen(f"http://{self.address}/-/readyz", timeout=2) as answer:
            return bool(answer.status == 200)


def toml(settings: Mapping[str, Mapping[str, object]]) -> str:
    """Give settings by section as TOML; values are texts, numbers, truths and lists of these."""
    lines = []
    for section, values in settings.items():
        # JSON's texts, numbers, truths and lists are TOML's too.
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)

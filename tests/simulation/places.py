"""Where in a data folder the simulated processes keep what."""

from pathlib import Path

import msgspec


class Places(msgspec.Struct, frozen=True):
    """The files and folders of one data folder."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def letters(self) -> Path:
        return self.root / "dead_letters.db"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def recount(self) -> Path:
        return self.root / "recount"

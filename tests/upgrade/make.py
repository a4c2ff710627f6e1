"""Makes the data folder that later versions must open: `make keep-folder`, before a version is tagged.

Everything in it was written by the version that is checked out. The system is killed with clicks in the log that are
not in the lake yet, as a machine leaves it that fails.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from adtally import __version__
from adtally.eventlog.port import IMPORTS
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from support.embedded import Embedded, wait_for
from upgrade.questions import Kept, answers

HERE = Path(__file__).parent
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
)
ADS = """ad_id,advertiser_id,landing_url,campaign_id,name,status
ad_1,acme,https://shop.example/1?c={click_id},spring,Shoes,active
ad_2,acme,https://shop.example/2,spring,Boots,active
ad_3,acme,https://shop.example/3,,Löffel,paused
ad_4,zeta,https://lamps.example/,lamps,Lamps,active
ad_5,zeta,https://lamps.example/old,lamps,Old lamps,archived
"""
CONFIG = """# Kept for ever, so that whoever opens this folder later is answered what was answered here.
[log]
retention_days = 36500
[reconcile]
live_days = 36500
minute_days = 36500
quarter_hour_days = 36500
"""
CLICKED = ("ad_1", "ad_2", "ad_3", "ad_4")


class Maker:
    """One folder on its way."""

    def __init__(self, root: Path, rnd: random.Random) -> None:
        self.root = root
        self.rnd = rnd
        self.system = Embedded(root / "data")
        self.hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.start = (self.hour - timedelta(days=3)).replace(hour=0)
        self._files = 0

    def import_clicks(self, count: int, start: datetime, hours: int) -> None:
        """Import clicks, double ones, bots and two bad rows among them."""
        self._files += 1
        file = self.root / f"history-{self._files}.ndjson"
        lines = []
        for _ in range(count):
            at = start + timedelta(seconds=self.rnd.randrange(hours * 3600))
            row = {
                "ts": at.isoformat(),
                "ad_id": self.rnd.choice(CLICKED),
                "user_id": f"u{self.rnd.randrange(80)}",
                "user_agent": self.rnd.choice(AGENTS),
                "ip": f"203.0.113.{self.rnd.randrange(250)}",
            }
            if self.rnd.random() < 0.3:
                row["impression_id"] = f"i{self.rnd.randrange(400)}"
            lines += [row] * self.rnd.choice((1, 1, 1, 2))
        lines += [{"ts": start.isoformat(), "ad_id": "nothing", "user_id": "u"}, {"ts": "never", "ad_id": "ad_1"}]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.system.command("import", str(file), expect=1)

    def click(self, count: int) -> None:
        """Send clicks to the edge."""
        with httpx.Client(base_url=self.system.click_url, trust_env=False) as client:
            for _ in range(count):
                params = {"ad_id": self.rnd.choice(CLICKED), "user_id": f"u{self.rnd.randrange(40)}"}
                answer = client.get("/click", params=params, headers={"User-Agent": self.rnd.choice(AGENTS)})
                assert answer.status_code == 302
                assert "X-Click-Recorded" not in answer.headers

    def bury(self) -> None:
        """Put two records into the log that no version can read, while nothing runs."""
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        writer = SqliteLogWriter.open(self.system.folder / "log", IMPORTS, "strange", now_ms, 1 << 20)
        writer.append([b"no JSON at all"], now_ms)
        writer.append([b'{"v": 1, "edge_id": "strange", "seq": "two"}'], now_ms)
        writer.close(None, now_ms)

    def replay_one(self) -> None:
        """Replay the first dead letter, mended."""
        letters = self.system.api("/v1/deadletters")["letters"]
        event = {
            "ts_ms": round(self.start.timestamp() * 1000) + 5_000_000,
            "ad_id": "ad_4",
            "campaign_id": "lamps",
            "advertiser_id": "zeta",
            "user_id": "mended",
            "device": "desktop",
            "verdict": "ok",
            "ip_prefix": "203.0.113.0/24",
            "user_agent": AGENTS[0],
            "v": 1,
        }
        mended = self.root / "mended.json"
        mended.write_text(json.dumps(event))
        where = (letters[0]["partition"], letters[0]["position"])
        self.system.command("deadletters", "replay", *where, "--payload", str(mended))

    @contextmanager
    def running(self) -> Iterator[None]:
        self.system.start()
        yield
        assert self.system.stop() == 0

    def end(self) -> None:
        """Leave no process behind where the making failed."""
        if self.system.process is not None and self.system.process.poll() is None:
            self.system.kill_supervisor()

    def make(self) -> Kept:
        """Make the folder, leave it killed, and give what it answered before."""
        folder, system = self.system.folder, self.system
        folder.mkdir()
        (folder / "config.toml").write_text(CONFIG)
        (self.root / "ads.csv").write_text(ADS)
        corrected = self.start + timedelta(hours=9)
        with self.running():
            system.command("ads", "import", str(self.root / "ads.csv"))
            key = json.loads(system.command("keys", "create", "--advertiser", "acme", "--json"))["key"]
            revoked = json.loads(system.command("keys", "create", "--advertiser", "zeta", "--json"))
            system.command("keys", "revoke", revoked["key_id"])
            system.command("keys", "create", "--admin", "--expires", "9000d", "--json")
            self.import_clicks(900, self.start, 60)
            system.command("reconcile")
            self.import_clicks(40, corrected, 1)
            system.command("reconcile")
            self.click(60)
        self.bury()
        system.start()
        wait_for(lambda: len(system.api("/v1/deadletters")["letters"]) == 2, 90, "both dead letters are found")
        self.replay_one()
        system.command("reconcile")
        # Not recounted any more: what these add is there for whoever opens the folder.
        self.import_clicks(30, corrected + timedelta(hours=2), 1)
        self.click(60)
        kept = self._kept(key, corrected)
        wait_for(lambda: _counted(system, kept.end), 120, "all clicks are counted")
        kept = msgspec.structs.replace(kept, found=answers(system, kept))
        system.kill_all()
        return kept

    def settle(self, kept: Kept) -> Kept:
        """Open the folder again, let everything be recounted that is due, and give the answers after it."""
        with self.running():
            self.system.command("reconcile")
            wait_for(lambda: _counted(self.system, kept.end), 120, "all clicks are counted again")
            return msgspec.structs.replace(kept, settled=answers(self.system, kept))

    def _kept(self, key: str, corrected: datetime) -> Kept:
        end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        minutes = [(corrected, corrected + timedelta(hours=1)), (self.hour, end)]
        return Kept(
            version=__version__,
            commit=_git("rev-parse", "HEAD"),
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            start=self.start.isoformat(),
            end=end.isoformat(),
            corrected=corrected.strftime("%Y-%m-%dT%H"),
            minutes=[(start.isoformat(), until.isoformat()) for start, until in minutes],
            advertiser="acme",
            advertiser_key=key,
            ads=list(CLICKED),
        )


def main() -> None:
    """Make the folder of this version, beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, default=HERE / __version__)
    options = parser.parse_args()
    # Passes are made when they are asked for, so that none comes between two answers.
    os.environ["ADTALLY_RECONCILE__EVERY_MS"] = "86400000"
    with tempfile.TemporaryDirectory() as temporary:
        maker = Maker(Path(temporary), random.Random(options.seed))
        try:
            kept = maker.make()
        except BaseException:
            maker.end()
            raise
        packed = Path(temporary) / "data.tar.xz"
        with tarfile.open(packed, "w:xz") as archive:
            archive.add(maker.system.folder, "data", filter=_plain)
        kept = maker.settle(kept)
        options.to.mkdir(parents=True, exist_ok=True)
        shutil.copy(packed, options.to / packed.name)
        (options.to / "kept.json").write_bytes(msgspec.json.encode(kept) + b"\n")
    print(f"{options.to}: {(options.to / packed.name).stat().st_size:,} bytes")


def _counted(system: Embedded, end: str) -> bool:
    as_of = system.api("/v1/status")["stream"]
    return as_of is not None and as_of["as_of_ms"] / 1000 > datetime.fromisoformat(end).timestamp()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what belongs to the processes that ran here, and to who ran them."""
    if entry.name.startswith("data/run/") or entry.name in ("data/lock", "data/run.json"):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()

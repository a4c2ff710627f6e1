"""The real API on a free port, over a registry file and the OLAP store in plain Python."""

import socket
import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from adtally.clock import SYSTEM_CLOCK
from adtally.config import LakeConfig, ReconcileConfig, ServeConfig
from adtally.counting import COUNTING_VERSION, DEDUP_WINDOW_MS, LATENESS_MS, minute_of
from adtally.event import VERDICTS
from adtally.eventlog.port import REPLAYED_LETTERS
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.history.letters import LetterDesk
from adtally.lake.directory import DirectoryLake
from adtally.ledger.port import Rules
from adtally.ledger.sql import SqlLedger
from adtally.olap.port import FINAL_COLUMNS, LiveRows, OlapReader
from adtally.reconcile.loop import ReconcileLoop
from adtally.reconcile.reconciler import Parts, Reconciler
from adtally.reconcile.requests import Desk, MemoryRequests
from adtally.registry.port import Ad, Registry
from adtally.registry.sql import SqlRegistry
from adtally.serve.app import Services, build_app
from adtally.serve.cache.memory import MemoryCache
from adtally.serve.cache.port import Cache
from adtally.serve.link import LinkSpec
from adtally.serve.progress import Progress
from adtally.stream.port import StreamReport
from adtally.wiring.server import Server
from support.ledger_lines import HOUR_MS, line
from support.memory_olap import MemoryOlap
from support.plain_recount import PlainRecounter

DEADLINE_S = 60


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NOW_MS = ms("2026-11-23T12:00:30Z")


class SetClock:
    """Shows what a test sets."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.at_ms = now_ms
        self.at_s = 1_000.0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_s


def report(as_of_ms: int) -> StreamReport:
    return StreamReport(
        as_of_ms=as_of_ms,
        reported_ms=as_of_ms,
        events=10,
        duplicates=1,
        late=0,
        dead_letters=0,
        dedup_entries=3,
        open_cells=2,
        positions={"edge-0": "0001"},
    )


class Served:
    """A running API. `admin` is a client with an admin's key; `as_advertiser` gives one with an advertiser's."""

    def __init__(
        self,
        folder: Path,
        config: ServeConfig | None = None,
        reader: OlapReader | None = None,
        registry: Registry | None = None,
        click_url: str | None = None,
        reconcile: ReconcileConfig | None = None,
        cache: Cache | None = None,
        link: LinkSpec | None = None,
    ) -> None:
        self.clock = SetClock()
        self.olap = MemoryOlap()
        self.registry: Registry = registry or SqlRegistry.open(folder / "registry.db")
        self.ledger = SqlLedger.open(folder / "ledger.db")
        self._folder = folder
        self.progress = Progress()
        self.dead_letters = SqliteDeadLetters(folder / "deadletters.db")
        self.log = folder / "log"
        self.letters = LetterDesk(
            self.dead_letters,
            lambda edge_id, now_ms: SqliteLogWriter.open(self.log, REPLAYED_LETTERS, edge_id, now_ms, 1 << 20),
        )
        parts = Parts(
            DirectoryLake(folder / "lake"), self.ledger, self.olap, self.olap, PlainRecounter(), self.clock,
            self.clock.now_ms, folder / "recount",
        )  # fmt: skip
        settings = reconcile or ReconcileConfig()
        rules = Rules(DEDUP_WINDOW_MS, LATENESS_MS, VERDICTS, COUNTING_VERSION)
        self.book = MemoryRequests()
        self.desk = Desk(self.book, self.ledger, self.clock)
        reconciler = Reconciler(parts, settings, LakeConfig(), rules)
        self.reconciling = ReconcileLoop(reconciler, self.book, self.ledger, settings)
        self.reasons: list[str] = []
        self._clicks: dict[tuple[str, str, str, int, str, str, str], list[str]] = defaultdict(list)
        services = Services(
            reader=reader or self.olap,
            registry=self.registry,
            ledger=self.ledger,
            clock=self.clock,
            config=config or ServeConfig(),
            progress=self.progress,
            letters=self.letters,
            ready=lambda: self.reasons,
            reconcile=settings,
            reconciling=self.desk,
            cache=cache or MemoryCache(1 << 20, self.clock),
            click_url=click_url,
            link=link,
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.app = build_app(services)
        self._server = Server(self.app, self.app.state.end_streams)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._clients: list[httpx.Client] = []
        self.anonymous = self.client(None)
        self.admin_key = self.registry.create_key(None, NOW_MS).key
        self.admin = self.client(self.admin_key)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline_s = SYSTEM_CLOCK.monotonic_s() + DEADLINE_S
        while not self._server.started:
            assert self._thread.is_alive(), "the API did not start"
            assert SYSTEM_CLOCK.monotonic_s() < deadline_s, f"the API did not start in {DEADLINE_S} s"
            self._thread.join(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.stop()
        self._listener.close()
        self.registry.close()
        self.letters.close()
        self.ledger.close()

    def stop(self) -> None:
        """Make the server stop, and wait until it has."""
        self._server.should_exit = True
        self._thread.join()

    def client(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # A connection is kept for less long than the server keeps it, so that none is used as it ends.
        limits = httpx.Limits(keepalive_expiry=1)
        client = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=DEADLINE_S, limits=limits)
        self._clients.append(client)
        return client

    def as_advertiser(self, advertiser_id: str) -> httpx.Client:
        return self.client(self.registry.create_key(advertiser_id, NOW_MS).key)

    def ad(self, ad_id: str, advertiser_id: str, campaign_id: str = "") -> None:
        self.registry.upsert_ads([Ad(ad_id, advertiser_id, "https://shop.example/", campaign_id)])

    def click(
        self,
        ad_id: str,
        user_id: str,
        at: str,
        *,
        advertiser: str = "acme",
        campaign: str = "",
        device: str = "desktop",
        outcome: str = "counted",
        shard: str = "all",
    ) -> None:
        """Count one event, as a stream would tell the store: with the cell's running total."""
        minute_s = minute_of(ms(at)) // 1000
        so_far = self._clicks[advertiser, campaign, ad_id, minute_s, device, outcome, shard]
        so_far.append(user_id)
        self.olap.append_live(
            LiveRows(
                advertiser_id=[advertiser],
                campaign_id=[campaign],
                ad_id=[ad_id],
                minute_s=[minute_s],
                device=[device],
                outcome=[outcome],
                shard=[shard],
                clicks=[len(so_far)],
                users=[[user_id] if outcome == "counted" else []],
            )
        )

    def publish(self, hour: str, *, but: Sequence[str] = (), **fields: Any) -> None:
        """Make an hour final as a recount would: with the clicks that there are, but those of the users in `but`."""
        hour_ms = ms(hour)
        self._stage(but)
        self.ledger.write(line(hour_ms, **fields), spans=self.olap.publish_hours([hour_ms]))

    def publish_days(self, start: str, number: int) -> None:
        """Make whole UTC days final, and build their rows of the day table."""
        self._stage(())
        for day_ms in (ms(start) + day * 24 * HOUR_MS for day in range(number)):
            for hour_ms in range(day_ms, day_ms + 24 * HOUR_MS, HOUR_MS):
                self.ledger.write(line(hour_ms), spans=self.olap.publish_hours([hour_ms]))
            self.ledger.note_spans([self.olap.publish_day(day_ms)])

    def _stage(self, but: Sequence[str]) -> None:
        rows = []
        for (advertiser, campaign, ad, minute_s, device, outcome, _), users in self._clicks.items():
            kept = [user for user in users if user not in but]
            if kept:
                named = kept if outcome == "counted" else []
                rows.append((advertiser, campaign, ad, minute_s, device, outcome, len(kept), named))
        file = self._folder / "recounted.parquet"
        columns = dict(zip(FINAL_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
        pq.write_table(pa.table({name: columns.get(name, ()) for name in FINAL_COLUMNS}), file)
        self.olap.stage([str(file)])

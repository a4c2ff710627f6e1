"""The lake: the archiver alone, from Kafka to S3 and from segments to a folder, and files of its size in S3."""

import os
import random
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
from deploy.local.kafka import Kafka1
from deploy.local.s3 import S3

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, LakeConfig, LogConfig, Secret
from adtally.event import Closing
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.lake.address import S3Access
from adtally.lake.archiver import Archiver
from adtally.lake.objects import Objects
from adtally.lake.parquet import encode_events
from adtally.lake.s3 import S3Lake
from adtally.utc import HOUR_MS
from adtally.wiring.logs import edge_partition, open_reader
from adtally.wiring.stores import open_dead_letters, open_lake, open_ledger
from bench.lake_clicks import START_MS, Clicks, events
from bench.processes import cpu_s
from bench.results import Row
from bench.topic_clicks import EDGE_ID, PARTITIONS, Fresh, payloads, produce

TOPIC: Final = "clicks"
FILE_EVENTS: Final = 50_000
"""A minute of one of 12 partitions at 10,000 clicks a second."""
HOURS: Final = 50
FILES: Final = 2_000
"""That are listed."""


class Archived(msgspec.Struct, frozen=True):
    """What the archiver did, and the CPU time of its process."""

    seconds: float
    cpu_s: float
    events: int
    files: int
    file_bytes: int


def measure(quick: bool) -> list[Row]:
    """Give a row for each way through the archiver, and one for each thing that is done with files in S3."""
    number = 1_000_000 if quick else 5_000_000
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name:
        s3, kafka = S3(Path(name) / "s3"), Kafka1(Path(name) / "kafka")
        try:
            s3.start()
            rows = _files(s3, 50 if quick else 200)
            kafka.start()
            rows += [_from_kafka(Path(name) / "cluster", kafka, s3, number), _from_segments(Path(name) / "one", number)]
        finally:
            kafka.kill()
            s3.kill()
    return rows


def _from_kafka(root: Path, kafka: Kafka1, s3: S3, number: int) -> Row:
    produce(kafka.addresses, TOPIC, Fresh(number))
    config = Config(
        log=LogConfig(brokers=kafka.addresses, topic=TOPIC, replicas=1),
        lake=LakeConfig(
            url=f"s3://{s3.bucket}/archived",
            s3_endpoint=s3.endpoint,
            s3_access_key=s3.access_key,
            s3_secret_key=Secret(s3.secret_key),
        ),
    )
    before = cpu_s([kafka.pid]), cpu_s([s3.pid])
    archived = _archive(root, config)
    brokers, store = (cpu_s([pid]) - used for pid, used in zip((kafka.pid, s3.pid), before, strict=True))
    return _row(
        f"the archiver alone, {number:,} clicks of {PARTITIONS} partitions from one broker to S3",
        archived,
        number,
        f"; the broker {brokers * 1e6 / number:.1f}, S3 {store * 1e6 / number:.1f}",
    )


def _from_segments(root: Path, number: int) -> Row:
    folder = DataFolder(root)
    folder.prepare()
    folder.log.mkdir(parents=True, exist_ok=True)
    now_ms = SYSTEM_CLOCK.now_ms()
    config = Config()
    writer = SqliteLogWriter.open(folder.log, edge_partition(0), EDGE_ID, now_ms, config.log.segment_bytes)
    for batch in payloads(Fresh(number)):
        writer.append(batch, SYSTEM_CLOCK.now_ms())
    now_ms = SYSTEM_CLOCK.now_ms()
    writer.close(Closing(EDGE_ID, number, now_ms), now_ms)
    what = f"the archiver alone, {number:,} clicks of one partition from segments to a folder"
    return _row(what, _archive(root, config), number, "")


def _archive(root: Path, config: Config) -> Archived:
    folder = DataFolder(root)
    folder.prepare()
    reader, letters = open_reader(folder, config, "archiver"), open_dead_letters(folder, config)
    archiver = Archiver(
        reader, open_lake(folder, config), open_ledger(folder, config), letters, config.lake, random.Random(1)
    )
    began_s, used_s = SYSTEM_CLOCK.monotonic_s(), cpu_s([os.getpid()])
    while archiver.step(SYSTEM_CLOCK.now_ms()) > 0:
        pass
    if not archiver.close(SYSTEM_CLOCK.now_ms()):
        raise SystemExit(f"the archiver's last flush failed: {archiver.report().trouble}")
    seconds, used_s = SYSTEM_CLOCK.monotonic_s() - began_s, cpu_s([os.getpid()]) - used_s
    report = archiver.report()
    reader.close()
    letters.close()
    return Archived(seconds, used_s, report.events, report.files, report.file_bytes)


def _row(what: str, archived: Archived, number: int, beside: str) -> Row:
    if archived.events != number:
        raise SystemExit(f"{archived.events:,} of {number:,} events were archived")
    return Row(
        "lake",
        what,
        f"{number / archived.seconds:,.0f}/s, {archived.cpu_s * 1e6 / number:.1f} CPU s a million{beside}",
        f"{archived.files} files, {archived.file_bytes / number:.1f} bytes a click",
    )


def _files(s3: S3, number: int) -> list[Row]:
    access = S3Access(s3.endpoint, "us-east-1", s3.access_key, s3.secret_key)
    objects, root = Objects(access), f"s3://{s3.bucket}/files"
    content = encode_events(_minute())
    addresses = [f"{root}/{place}.parquet" for place in range(number)]
    # With its first object the store makes its volumes, which takes it seconds.
    objects.put(f"{root}/first.parquet", content)
    began_s = SYSTEM_CLOCK.monotonic_s()
    for address in addresses:
        objects.put(address, content)
    put_s = SYSTEM_CLOCK.monotonic_s()
    for address in addresses:
        objects.get(address)
    got_s = SYSTEM_CLOCK.monotonic_s()
    lake = S3Lake(f"s3://{s3.bucket}/many", access)
    few = _minute().slice(0, 1)
    for place in range(FILES):
        lake.write(START_MS + place % HOURS * HOUR_MS, f"clicks-0-{place}", few)
    many_s = SYSTEM_CLOCK.monotonic_s()
    listed = sum(len(files) for files in lake.listing().values())
    listed_s = SYSTEM_CLOCK.monotonic_s() - many_s
    if listed != FILES:
        raise SystemExit(f"{listed} of {FILES} files were listed")
    megabytes = number * len(content) / 1e6
    what = (
        f"S3 (SeaweedFS), one after the other, {number} files of {FILE_EVENTS:,} clicks ({len(content) / 1e6:.1f} MB)"
    )
    return [
        Row("lake", f"{what}: put", f"{megabytes / (put_s - began_s):,.0f} MB/s", f"{put_s - began_s:.1f} s"),
        Row("lake", f"{what}: get", f"{megabytes / (got_s - put_s):,.0f} MB/s", f"{got_s - put_s:.1f} s"),
        Row("lake", f"S3 (SeaweedFS): listing {FILES:,} files of {HOURS} hours", f"{listed_s * 1e3:,.0f} ms",
            f"made one after the other, {FILES / (many_s - got_s):,.0f}/s"),
    ]  # fmt: skip


def _minute() -> pa.Table:
    return events(Clicks(FILE_EVENTS), 0)

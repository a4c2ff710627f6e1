"""What is S3's own: a server that is away or comes back, keys that are wrong, processes that die in the middle."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from deploy.local.s3 import S3

from adtally.errors import ConfigError, LakeError, LakeFileGoneError
from adtally.lake.address import S3Access
from adtally.lake.compaction import compact_hour
from adtally.lake.s3 import S3Lake
from support.lake_events import HOUR_MS, NOON_MS, click, ids, lake_ids, rows
from support.s3 import access, fresh_url
from support.servers import Servers

pytestmark = pytest.mark.servers

COMPACTION_POINTS = ("lake.written", "lake.renamed", "lake.replaced", "lake.removed")


COMPACT = """
import os, signal, sys
from adtally import faultpoint
from adtally.lake.address import S3Access
from adtally.lake.compaction import compact_hour
from adtally.lake.s3 import S3Lake
url, *access, point, hour_ms = sys.argv[1:]
faultpoint.on_reach = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == point else None
compact_hour(S3Lake(url, S3Access(*access)), int(hour_ms))
"""


@pytest.fixture
def server(servers: Servers) -> S3:
    return servers.running(S3)


@pytest.mark.parametrize("point", COMPACTION_POINTS)
def test_a_compaction_that_is_killed_loses_nothing_and_the_next_one_ends_it(server: S3, point: str) -> None:
    url = fresh_url(server)
    lake = S3Lake(url, access(server))
    for number in range(4):
        lake.write(NOON_MS, f"edge-0-{number}", rows([click(number), click(number + 1)]))
    events = [("e1", seq) for seq in range(5)]
    asked = [url, *msgspec.structs.astuple(access(server)), point]
    ended = subprocess.run([sys.executable, "-c", COMPACT, *asked, str(NOON_MS)], check=False, timeout=300)
    assert ended.returncode == -signal.SIGKILL
    assert sorted(set(lake_ids(lake))) == events
    compact_hour(lake, NOON_MS)
    assert lake_ids(lake) == events
    assert len(lake.files(NOON_MS)) == 1


def test_what_was_written_outlives_a_kill_of_the_server(server: S3, servers: Servers) -> None:
    lake = S3Lake(fresh_url(server), access(server))
    file = lake.write(NOON_MS, "a", rows([click(1)]))
    server.kill()
    servers.running(S3)
    assert ids(lake.read(file)) == [("e1", 1)]
    assert lake.listing() == {NOON_MS: [file]}


def test_a_wrong_key_is_a_lake_error_without_the_secret(server: S3) -> None:
    lake = S3Lake(fresh_url(server), S3Access(server.endpoint, "us-east-1", server.access_key, "wrong-secret"))
    for ask in (lambda: lake.write(NOON_MS, "a", rows([click(1)])), lake.hours, lambda: lake.remove_hour(NOON_MS)):
        with pytest.raises(LakeError) as caught:
            ask()
        assert "wrong-secret" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_no_file_that_is_gone(server: S3) -> None:
    lake = S3Lake("s3://no-such-bucket/lake", access(server))
    with pytest.raises(LakeError) as caught:
        lake.files(NOON_MS + HOUR_MS)
    assert not isinstance(caught.value, LakeFileGoneError)


def test_an_address_that_is_none_and_a_printed_access_say_nothing_secret(tmp_path: Path) -> None:
    given = S3Access("http://127.0.0.1:1", "us-east-1", "key", "secret-value")
    assert "secret-value" not in repr(given)
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        S3Lake(str(tmp_path), given)

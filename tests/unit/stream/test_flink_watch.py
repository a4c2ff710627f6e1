"""The watch over the Flink job, against a Flink that answers as a real one was seen to."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from adtally.stream.flink.job import CHECKPOINT_AGE_MS_MAX, JobSettings
from adtally.stream.flink.topics import Remembered
from adtally.stream.flink.watch import LOOK_MS, JobWatch

SETTINGS = JobSettings(("broker:9092",), "clicks", 300_000, 120_000)
NOW_MS = 1_800_000_000_000


class Notes:
    """What is remembered, and how far the job's last checkpoint reached."""

    def __init__(self) -> None:
        self.note: Remembered | None = None
        self.has_offsets = True

    def passed_ms(self, now_ms: int) -> int | None:
        return now_ms - 1_000 if self.has_offsets else None

    def remember(self, note: Remembered) -> None:
        self.note = note

    def recall(self) -> Remembered | None:
        return self.note


class FakeFlink:
    """Gateway and job manager in one; `sessions` are the settings of each job that was submitted."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.sessions: list[dict[str, str]] = []
        self.statements: list[str] = []
        self.completed: dict[str, Any] | None = None
        self.refuses = False
        self.port = 0

    def answer(self, method: str, path: str, body: Any) -> Any:
        if path == "/v1/sessions":
            self.sessions += [body["properties"]] if body["properties"] else []
            return {"sessionHandle": "s"}
        if path.endswith("/statements"):
            self.statements.append(body["statement"])
            return {"operationHandle": "o"}
        if path.endswith("/result/0"):
            return self._result()
        if path == "/v1/sessions/s":
            return {"properties": {"rest.address": "127.0.0.1", "rest.port": str(self.port)}}
        if path == "/jobs/overview":
            return {"jobs": self.jobs}
        if path.endswith("/checkpoints"):
            return {"latest": {"completed": self.completed}}
        assert method == "PATCH"
        self.jobs = [{**job, "state": "CANCELED"} if job["jid"] in path else job for job in self.jobs]
        return {}

    def run_job(self, jid: str, start_ms: int = NOW_MS) -> None:
        self.jobs.append({"jid": jid, "name": "clicks", "state": "RUNNING", "start-time": start_ms})

    def _result(self) -> Any:
        if "INSERT" not in self.statements[-1]:
            return {"resultType": "PAYLOAD", "results": {"data": [{"fields": ["OK"]}]}}
        if self.refuses:
            return None
        self.run_job(f"job{len(self.sessions)}")
        return {"resultType": "PAYLOAD", "results": {"data": [{"fields": [f"job{len(self.sessions)}"]}]}}


@pytest.fixture
def flink() -> Iterator[FakeFlink]:
    fake = FakeFlink()

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = fake.answer(self.command, self.path, json.loads(body) if body else None)
            self.send_response(500 if found is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(found or {"errors": ["no such checkpoint"]}).encode())

        do_GET = do_POST = do_DELETE = do_PATCH = do  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def watch(flink: FakeFlink, notes: Notes, *, replay: bool = False) -> JobWatch:
    return JobWatch(f"http://127.0.0.1:{flink.port}", SETTINGS, notes, lambda: None, replay=replay)


def test_a_job_that_runs_is_not_submitted_again(flink: FakeFlink) -> None:
    looking = watch(flink, Notes())
    for look in range(3):
        looking.step(NOW_MS + look * LOOK_MS)
    assert len(flink.sessions) == 1
    assert looking.running


def test_the_first_job_of_all_reads_from_the_beginning(flink: FakeFlink) -> None:
    notes = Notes()
    notes.has_offsets = False
    watch(flink, notes).step(NOW_MS)
    assert "earliest-offset" in flink.statements[0]


def test_a_job_that_ended_before_its_first_checkpoint_is_read_again_from_the_beginning(flink: FakeFlink) -> None:
    notes = Notes()
    notes.note, notes.has_offsets = Remembered("gone", 0), False
    watch(flink, notes).step(NOW_MS)
    assert "earliest-offset" in flink.statements[0]


def test_a_lost_note_does_not_make_the_job_read_everything(flink: FakeFlink) -> None:
    looking = watch(flink, Notes())
    looking.step(NOW_MS)
    assert "'scan.startup.mode' = 'timestamp'" in flink.statements[0]
    assert looking.started is not None
    assert 0 < looking.started.floor_ms < NOW_MS


def test_a_young_checkpoint_is_restored_with_its_floor(flink: FakeFlink) -> None:
    notes = Notes()
    notes.note = Remembered("gone", 60_000, "s3://b/chk-7", NOW_MS - CHECKPOINT_AGE_MS_MAX)
    watch(flink, notes).step(NOW_MS)
    assert flink.sessions[0]["execution.state-recovery.path"] == "s3://b/chk-7"
    assert "ts_ms >= 60000" in "".join(flink.statements)


@pytest.mark.parametrize(("older_ms", "replay"), [(1, False), (-60_000, True)])
def test_a_checkpoint_is_not_restored_when_it_is_too_old_or_replay_is_wanted(
    flink: FakeFlink, older_ms: int, replay: bool
) -> None:
    notes = Notes()
    notes.note = Remembered("gone", 0, "s3://b/chk-7", NOW_MS - CHECKPOINT_AGE_MS_MAX - older_ms)
    watch(flink, notes, replay=replay).step(NOW_MS)
    assert "execution.state-recovery.path" not in flink.sessions[0]
    assert "'scan.startup.mode' = 'timestamp'" in flink.statements[0]


def test_a_checkpoint_that_is_refused_is_done_without(flink: FakeFlink) -> None:
    notes = Notes()
    notes.note = Remembered("gone", 0, "s3://b/chk-7", NOW_MS)
    looking = watch(flink, notes)
    flink.refuses = True
    looking.step(NOW_MS)
    flink.refuses = False
    looking.step(NOW_MS + LOOK_MS)
    assert ["execution.state-recovery.path" in settings for settings in flink.sessions] == [True, False]


def test_checkpoints_are_noted_for_whoever_watches_next(flink: FakeFlink) -> None:
    notes = Notes()
    notes.has_offsets = False
    looking = watch(flink, notes)
    looking.step(NOW_MS)
    flink.completed = {"external_path": "file:/chk-1", "trigger_timestamp": NOW_MS + 1}
    looking.step(NOW_MS + LOOK_MS)
    assert notes.note == Remembered("job1", 0, "file:/chk-1", NOW_MS + 1)


def test_a_job_that_makes_no_checkpoints_is_started_again_by_reading(flink: FakeFlink) -> None:
    looking = watch(flink, Notes())
    looking.step(NOW_MS)
    looking.step(NOW_MS + CHECKPOINT_AGE_MS_MAX + 1)
    looking.step(NOW_MS + CHECKPOINT_AGE_MS_MAX + 1 + LOOK_MS)
    assert [job["state"] for job in flink.jobs] == ["CANCELED", "RUNNING"]


def test_of_two_jobs_the_newer_one_stays(flink: FakeFlink) -> None:
    flink.run_job("old", NOW_MS - 10)
    flink.run_job("new", NOW_MS)
    watch(flink, Notes()).step(NOW_MS)
    assert [(job["jid"], job["state"]) for job in flink.jobs] == [("old", "CANCELED"), ("new", "RUNNING")]


def test_a_flink_that_does_not_answer_is_asked_again_later() -> None:
    looking = JobWatch("http://127.0.0.1:9", SETTINGS, Notes(), lambda: None)
    looking.step(NOW_MS)
    assert not looking.running

"""Sees to it that the job runs: submits it, notes its checkpoints, and starts it again where it can be gone on from."""

from collections.abc import Callable
from typing import Final, Protocol

from adtally.errors import FlinkError, FlinkRefusedError, LogError
from adtally.stream.flink.gateway import RUNNING, Completed, Gateway, Job, JobManager
from adtally.stream.flink.job import CHECKPOINT_AGE_MS_MAX, JobSettings, Start, properties, replay_start, statements
from adtally.stream.flink.topics import Remembered
from adtally.telemetry import log

LOOK_MS: Final = 2_000
ENDING: Final = ("CANCELLING", "FAILING")


class Memory(Protocol):
    """What the watch needs to know of the job's past, whichever process was watching."""

    def passed_ms(self, now_ms: int) -> int | None:
        """Give a time before which every append is in the job's last checkpoint, None before the first one.

        Raises LogError.
        """
        ...

    def remember(self, note: Remembered) -> None:
        """Keep a note in the place of the one before. Raises LogError."""
        ...

    def recall(self) -> Remembered | None:
        """Give the last note, None where there is none. Raises LogError."""
        ...


class JobWatch:
    """Advances by `step(now_ms)`. Only one may watch a job; a second one does no harm but work.

    A job is started again from its last checkpoint, unless that is older than `CHECKPOINT_AGE_MS_MAX`, could not be
    restored, or `replay` says never to. Then it reads again what open minutes need, which repeats totals that the store
    has. A restart inside Flink needs nobody: this is for a job that Flink has given up or forgotten. `wait` waits for a
    tenth of a second, while a statement is carried out.
    """

    def __init__(
        self,
        gateway_url: str,
        settings: JobSettings,
        memory: Memory,
        wait: Callable[[], None],
        *,
        replay: bool = False,
    ) -> None:
        self._gateway = Gateway(gateway_url)
        self._settings = settings
        self._memory = memory
        self._wait = wait
        self._replay = replay
        self._manager: JobManager | None = None
        self._looked_ms = 0
        self._note: Remembered | None = None
        self._recalled = False
        self.running = False
        """Whether Flink runs the job, as far as was seen last."""
        self.started: Start | None = None
        """Where the job begins that this watch submitted last."""

    def step(self, now_ms: int) -> None:
        """Look after the job, every two seconds. What fails is logged and tried again."""
        if 0 <= now_ms - self._looked_ms < LOOK_MS:
            return
        self._looked_ms = now_ms
        try:
            self._look(now_ms)
        except (FlinkError, LogError) as error:
            self.running = False
            log.warning("the Flink job is not looked after now", error=str(error))

    def cancel(self) -> None:
        """End the job. Its checkpoints stay. Raises FlinkError."""
        for job in self._jobs():
            if job.state in RUNNING:
                self._job_manager().cancel(job.jid)

    def ended(self) -> bool:
        """Tell whether no job writes any more. Raises FlinkError."""
        return not any(job.state in RUNNING or job.state in ENDING for job in self._jobs())

    def _look(self, now_ms: int) -> None:
        if not self._recalled:
            self._note, self._recalled = self._memory.recall(), True
        jobs = self._jobs()
        running = [job for job in jobs if job.state in RUNNING]
        for extra in running[1:]:
            self._job_manager().cancel(extra.jid)
        if running:
            self._attend(running[0], now_ms)
        elif not any(job.state in ENDING for job in jobs):
            self._submit(now_ms)
        self.running = any(job.state == "RUNNING" for job in running)

    def _attend(self, job: Job, now_ms: int) -> None:
        completed = self._job_manager().completed(job.jid)
        note = self._note
        if completed is not None and note is not None and completed.external_path != note.checkpoint:
            self._keep(_noted(note, job, completed))
        seen_ms = max(job.start_time, completed.trigger_timestamp if completed is not None else 0)
        if now_ms - seen_ms > CHECKPOINT_AGE_MS_MAX:
            log.error("the Flink job makes no checkpoints: it is started again", job=job.jid)
            self._job_manager().cancel(job.jid)

    def _submit(self, now_ms: int) -> None:
        start = self._start(now_ms)
        try:
            jid = self._carried_out(start)
        except FlinkRefusedError:
            if start.checkpoint and self._note is not None:
                log.warning("a checkpoint is not restored: the next start does without", checkpoint=start.checkpoint)
                self._keep(Remembered(self._note.jid, self._note.floor_ms))
            raise
        self.started = start
        log.info("submitted the Flink job", job=jid, checkpoint=start.checkpoint, appended_ms=start.appended_ms)
        # The checkpoint is not noted again: should it not be restorable, the next start does without it.
        self._keep(Remembered(jid, start.floor_ms))

    def _carried_out(self, start: Start) -> str:
        """Submit the job and give its id."""
        session = self._gateway.session(properties(self._settings, start))
        try:
            rows = [session.execute(statement, self._wait) for statement in statements(self._settings, start)]
        finally:
            session.close()
        return str(rows[-1][0][0])

    def _start(self, now_ms: int) -> Start:
        note = self._note
        young = note is not None and now_ms - note.checkpoint_ms <= CHECKPOINT_AGE_MS_MAX
        if note is not None and note.checkpoint and young and not self._replay:
            return Start(checkpoint=note.checkpoint, floor_ms=note.floor_ms)
        # Without a note too: offsets are there if a job ever made a checkpoint, whoever watched it.
        passed_ms = self._memory.passed_ms(now_ms)
        if passed_ms is None:
            log.warning(
                "no Flink job has made a checkpoint yet: all that the topic holds is read", noted=note is not None
            )
            return Start()
        return replay_start(passed_ms, self._settings)

    def _keep(self, note: Remembered) -> None:
        self._note = note
        self._memory.remember(note)

    def _jobs(self) -> list[Job]:
        return self._job_manager().jobs(self._settings.topic)

    def _job_manager(self) -> JobManager:
        if self._manager is None:
            session = self._gateway.session({})
            known = session.properties()
            session.close()
            self._manager = JobManager(f"http://{known['rest.address']}:{known['rest.port']}")
        return self._manager


def _noted(note: Remembered, job: Job, completed: Completed) -> Remembered:
    floor_ms = note.floor_ms if note.jid == job.jid else 0
    return Remembered(job.jid, floor_ms, completed.external_path, completed.trigger_timestamp)

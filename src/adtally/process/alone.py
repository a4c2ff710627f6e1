"""One role in a process of its own, without a supervisor."""

import secrets
import signal
import threading
from contextlib import closing
from pathlib import Path

import msgspec

from adtally import wiring
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, load
from adtally.errors import AdtallyError, StoreUnavailableError, UsageError
from adtally.folder import DataFolder, replace_file
from adtally.process.child import run_until_sigterm
from adtally.process.sockets import listen, url_of
from adtally.telemetry import configure_logging, log

INTAKE_WAIT_S_MAX = 30.0


class Intake(msgspec.Struct, frozen=True):
    """Where a store takes live rows in, for a stream that runs beside it."""

    url: str
    token: str


def open_folder(data_dir: Path, config_file: Path | None, role: str) -> tuple[DataFolder, Config]:
    """Prepare a data folder for a role that runs alone. Raises DataFolderError and ConfigError."""
    folder = DataFolder(data_dir)
    folder.prepare()
    folder.log.mkdir(exist_ok=True)
    (folder.run / "metrics").mkdir(parents=True, exist_ok=True)
    configure_logging(role)
    return folder, load(config_file or (folder.config if folder.config.exists() else None)).config


def run_edge(folder: DataFolder, config: Config, index: int) -> None:
    """Run one edge worker until SIGTERM. Raises AdtallyError."""
    sock = listen(config.edge.host, config.edge.port, "edge.port", shared=True)
    started = lambda: log.info("the edge is ready", url=url_of(sock))  # noqa: E731 - as short as what it passes
    run_until_sigterm(lambda stop: wiring.run_edge_role(folder, config, index, sock, stop, started, _nobody))


def run_serve(folder: DataFolder, config: Config) -> None:
    """Run the API, and what belongs to it where it owns the store, until SIGTERM. Raises AdtallyError."""
    _make_admin_key(folder, config)
    api = listen(config.serve.host, config.serve.port, "serve.port")
    click_url = f"http://{config.edge.host}:{config.edge.port}"
    started = lambda: log.info("the API is ready", url=url_of(api))  # noqa: E731 - as short as what it passes
    if not wiring.owns_store(config):
        run_until_sigterm(lambda stop: wiring.run_api_role(folder, config, api, click_url, stop, started))
        return
    intake = listen("127.0.0.1", 0, "")
    token = secrets.token_urlsafe(32)
    replace_file(folder.run / "intake.json", msgspec.json.encode(Intake(url_of(intake), token)), mode=0o600)
    run_until_sigterm(
        lambda stop: wiring.run_store_role(folder, config, api, intake, token, click_url, stop, started, _nobody)
    )


def _make_admin_key(folder: DataFolder, config: Config) -> None:
    """Make the first admin's key of a registry, and keep it in the folder of whoever came first."""
    if folder.admin_key.exists():
        return
    with closing(wiring.open_registry(folder, config)) as registry:
        keys = registry.keys()
        if any(key.scope == "admin" and key.revoked_ms is None for key in keys):
            return
        made = registry.create_key(None, SYSTEM_CLOCK.now_ms()).key
    replace_file(folder.admin_key, f"{made}\n".encode(), mode=0o600)


def run_stream(folder: DataFolder, config: Config) -> None:
    """Run the stream until SIGTERM; where one process owns the store, beside it. Raises StoreUnavailableError."""
    stop = _until_signal()
    started = lambda: log.info("the stream is ready")  # noqa: E731 - as short as what it passes
    if not wiring.owns_store(config):
        wiring.run_stream_role(folder, config, stop, started, _nobody)
        return
    deadline_s = SYSTEM_CLOCK.monotonic_s() + INTAKE_WAIT_S_MAX
    while (intake := _intake(folder)) is None:
        if stop.wait(0.1) or SYSTEM_CLOCK.monotonic_s() > deadline_s:
            raise StoreUnavailableError(f"no store runs on {folder.root}: start `adtally serve` first")
    wiring.run_counter_role(folder, config, intake.url, intake.token, stop, started, _nobody, archive=False)


def run_archiver(folder: DataFolder, config: Config) -> None:
    """Run the archiver until SIGTERM. Raises PositionGoneError."""
    started = lambda: log.info("the archiver is ready")  # noqa: E731 - as short as what it passes
    wiring.run_archiver_role(folder, config, _until_signal(), started)


def run_loader(folder: DataFolder, config: Config) -> None:
    """Run the loader of Flink's rows until SIGTERM. Raises UsageError, PositionGoneError and LogError."""
    if wiring.owns_store(config) or config.stream.engine != "flink":
        raise UsageError(
            'the loader needs stream.engine = "flink" and olap.urls: otherwise the stream writes rows itself'
        )
    started = lambda: log.info("the loader is ready")  # noqa: E731 - as short as what it passes
    wiring.run_loader_role(folder, config, _until_signal(), started, _nobody)


def run_reconciler(folder: DataFolder, config: Config) -> None:
    """Run the reconciler until SIGTERM. Raises UsageError and StoreUnavailableError."""
    if wiring.owns_store(config):
        raise UsageError("without olap.urls the reconciler is a part of `adtally serve`, which owns the store")
    started = lambda: log.info("the reconciler is ready")  # noqa: E731 - as short as what it passes
    wiring.run_reconciler_role(folder, config, _until_signal(), started)


def _until_signal() -> threading.Event:
    """Give an event that SIGTERM or Ctrl-C sets."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    return stop


def _intake(folder: DataFolder) -> Intake | None:
    try:
        return msgspec.json.decode((folder.run / "intake.json").read_bytes(), type=Intake)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise AdtallyError(f"{folder.run / 'intake.json'} is damaged ({error}): start `adtally serve` anew") from None


def _nobody() -> None:
    """Nobody listens to the beats of a role that runs alone."""

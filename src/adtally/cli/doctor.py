"""`adtally doctor`: looks at what adtally stands on, and says what to do."""

import errno
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final, Literal

import click
import msgspec

from adtally.cli.servers import refusal, servers_of
from adtally.cli.tables import plural, print_table
from adtally.cli.target import DEFAULT_DATA_DIR, ApiClient, config_file_of
from adtally.clock import SYSTEM_CLOCK, Clock
from adtally.config import Config, load
from adtally.errors import AdtallyError, ConfigError, DataFolderError
from adtally.folder import DataFolder, RunInfo

State = Literal["ok", "warn", "fail"]

FREE_BYTES_FAIL: Final = 256 * 1024**2
FREE_BYTES_WARN: Final = 5 * 1024**3
"""A click takes about 250 bytes in the log: this is some twenty million."""

FSYNC_TRIES: Final = 9
FSYNC_WARN_MS: Final = 20.0
"""Each click waits for one fsync."""

CLOCK_EARLIEST_MS: Final = 1_767_225_600_000
"""2026-01-01: this version did not exist before."""
CLOCK_LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01."""
CLOCK_SKEW_WARN_MS: Final = 2_000

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found. `advice` is empty where there is nothing to do."""

    check: str
    state: State
    found: str
    advice: str = ""


@click.command("doctor")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(data_dir: Path, config_file: Path | None, as_json: bool) -> None:
    """Check libraries, configuration, data folder, clock, ports, the running system, and the servers of a cluster.

    Exit code 1 if anything failed; warnings alone give 0.
    """
    findings = list(examine(DataFolder(data_dir), config_file, SYSTEM_CLOCK))
    failed = sum(1 for finding in findings if finding.state == "fail")
    warned = sum(1 for finding in findings if finding.state == "warn")
    if as_json:
        click.echo(msgspec.json.encode({"ok": not failed, "findings": findings}))
    else:
        rows = ((finding.state, finding.check, _sentence(finding)) for finding in findings)
        print_table(("", "check", "found"), rows, _STYLES)
        click.echo(f"\n{plural(failed, 'failure')}, {plural(warned, 'warning')}")
    sys.exit(1 if failed else 0)


def examine(folder: DataFolder, config_file: Path | None, clock: Clock) -> Iterator[Finding]:
    """Make all checks, the ones that others stand on first."""
    yield check_python(sys.version_info[:2])
    yield check_libraries(requires("adtally") or [])
    config, finding = check_config(folder, config_file)
    yield finding
    yield check_folder(folder)
    place = _nearest_existing(folder.root)
    yield check_free_space(place, shutil.disk_usage(place).free)
    yield check_disk(place, clock)
    yield check_clock(place, clock)
    running = folder.running()
    for name, host, port in (
        ("click port", config.edge.host, config.edge.port),
        ("API port", config.serve.host, config.serve.port),
    ):
        yield check_port(name, host, port, running)
    yield from check_running(running)
    for setting, host, port in servers_of(config):
        yield check_server(setting, host, port)


def check_server(setting: str, host: str, port: int) -> Finding:
    """Check that a server of a cluster takes connections from here; whether it works, its own tools tell."""
    why = refusal(host, port)
    if why is None:
        return Finding(setting, "ok", f"{host}:{port} takes connections")
    return Finding(setting, "fail", f"{host}:{port}: {why}", "start it, or mend the address or the network between")


def check_python(found: tuple[int, int]) -> Finding:
    """Check the interpreter's version."""
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if found < (3, 11):
        return Finding("python", "fail", text, "install Python 3.11 or newer")
    return Finding("python", "ok", text)


def check_libraries(requirements: list[str]) -> Finding:
    """Check that what adtally requires is installed in a version that it works with."""
    wrong: list[str] = []
    wanted = [text.split(";")[0].strip() for text in requirements if "extra ==" not in text]
    for text in wanted:
        name = re.split(r"[<>=!~\[ ]", text, maxsplit=1)[0]
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if not _satisfies(installed, text[len(name) :]):
            wrong.append(f"{name} {installed} is not {text[len(name) :]}")
    if wrong:
        return Finding("libraries", "fail", "; ".join(wrong), "install adtally again into a fresh environment")
    return Finding("libraries", "ok", f"all {len(wanted)} as required")


def check_config(folder: DataFolder, config_file: Path | None) -> tuple[Config, Finding]:
    """Check the configuration, and give it; where it is wrong, the defaults."""
    file = config_file_of(folder, config_file)
    try:
        loaded = load(file)
    except ConfigError as error:
        return Config(), Finding(
            "configuration", "fail", str(error), "mend it; `adtally config show` lists all settings"
        )
    changed = sum(1 for origin in loaded.origins.values() if origin != "default")
    return loaded.config, Finding(
        "configuration", "ok", f"{file or 'no file'}, {plural(changed, 'setting')} changed from the defaults"
    )


def check_folder(folder: DataFolder) -> Finding:
    """Check that the data folder is one, of this version, or can be made."""
    empty = not folder.root.exists() or (folder.root.is_dir() and not any(folder.root.iterdir()))
    if empty:
        return Finding("data folder", "ok", f"{folder.root} is not there yet: `adtally up` makes it")
    try:
        folder.check_version()
    except (DataFolderError, OSError) as error:
        return Finding("data folder", "fail", str(error), "choose another folder with --data-dir, or mend this one")
    return Finding("data folder", "ok", f"{folder.root}, version {folder.version.read_text(encoding='ascii').strip()}")


def check_free_space(place: Path, free_bytes: int) -> Finding:
    """Check that clicks have room."""
    found = f"{free_bytes / 1024**3:,.1f} GiB free at {place}"
    if free_bytes < FREE_BYTES_FAIL:
        return Finding("free space", "fail", found, "make room: without it no click can be kept")
    if free_bytes < FREE_BYTES_WARN:
        return Finding("free space", "warn", found, "make room soon, or lower log.retention_days")
    return Finding("free space", "ok", found)


def check_disk(place: Path, clock: Clock) -> Finding:
    """Check that the folder can be written, and how long its fsync takes (the median of several)."""
    times_ms: list[float] = []
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for _ in range(FSYNC_TRIES):
                file.write(b"x" * 4096)
                file.flush()
                begin_s = clock.monotonic_s()
                os.fsync(file.fileno())
                times_ms.append((clock.monotonic_s() - begin_s) * 1000)
    except OSError as error:
        advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend its owner, rights or disk"
        return Finding("disk", "fail", f"cannot write to {place}: {error.strerror}", advice)
    median_ms = sorted(times_ms)[FSYNC_TRIES // 2]
    found = f"writable, an fsync takes {median_ms:.2f} ms"
    if median_ms > FSYNC_WARN_MS:
        return Finding("disk", "warn", found, "every click waits this long for its 302: use a faster disk")
    return Finding("disk", "ok", found)


def check_clock(place: Path, clock: Clock) -> Finding:
    """Check that the clock's year can be true, and that the file system has the same time."""
    now_ms = clock.now_ms()
    if not CLOCK_EARLIEST_MS <= now_ms < CLOCK_LATEST_MS:
        return Finding("clock", "fail", f"it shows {now_ms} ms since 1970", "set it: clicks are counted by its minutes")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
            written_ms = os.fstat(file.fileno()).st_mtime_ns // 1_000_000
        # A disk that takes its time is no clock that is apart.
        apart_ms = max(now_ms - written_ms, written_ms - clock.now_ms(), 0)
    except OSError:
        return Finding("clock", "ok", "its year can be true")
    if apart_ms > CLOCK_SKEW_WARN_MS:
        found = f"the file system of {place} is {apart_ms / 1000:.1f} s away from it"
        return Finding("clock", "warn", found, "keep both machines in time (NTP)")
    return Finding("clock", "ok", "its year can be true, and the file system agrees")


def check_port(name: str, host: str, port: int, running: RunInfo | None) -> Finding:
    """Check that a port is free, or held by the system that runs on the folder."""
    address = f"{host}:{port}"
    if port == 0:
        return Finding(name, "ok", "any free one")
    if running is not None and any(url.endswith(f":{port}") for url in (running.click_url, running.api_url)):
        return Finding(name, "ok", f"{address} is held by the running system")
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        advice = "stop the program that holds it, or choose another with --click-port and --api-port"
        return Finding(name, "fail", f"{address} cannot be used: {error.strerror}", advice)
    return Finding(name, "ok", f"{address} is free")


def check_running(running: RunInfo | None) -> Iterator[Finding]:
    """Check that a running system answers on both addresses, and whether parts of it were restarted."""
    if running is None:
        yield Finding("system", "ok", "none runs on this folder")
        return
    for name, url in (("edge", running.click_url), ("API", running.api_url)):
        try:
            with ApiClient(url, None) as client:
                client.request("GET", "/-/readyz")
        except AdtallyError as error:
            yield Finding(
                name, "fail", f"{url} is not ready: {error}", "see `adtally status` and the log of `adtally up`"
            )
        else:
            yield Finding(name, "ok", f"{url} is ready")
    restarts = {part: count for part, count in running.restarts.items() if count}
    if restarts:
        found = ", ".join(f"{part} {count} times" for part, count in restarts.items())
        yield Finding("restarts", "warn", f"since the start: {found}", "the log of `adtally up` says why")


def _sentence(finding: Finding) -> str:
    return f"{finding.found}\n-> {finding.advice}" if finding.advice else finding.found


def _nearest_existing(place: Path) -> Path:
    """Give the folder itself, or the nearest one above it that exists."""
    place = place.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return place


def _satisfies(installed: str, specifiers: str) -> bool:
    """Compare release numbers (PEP 440) for the two kinds of limits that adtally sets: `>=` and `!=`."""
    for specifier in filter(None, specifiers.split(",")):
        limit = _release(specifier.strip(" >=!"))
        if (">=" in specifier and _release(installed) < limit) or ("!=" in specifier and _release(installed) == limit):
            return False
    return True


def _release(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.match(r"[0-9]+(?:\.[0-9]+)*", text)[0].split(".")]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)

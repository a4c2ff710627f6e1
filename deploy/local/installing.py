"""Puts servers into the cache folder, once each, whoever asks at the same time."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.server import ServerError, cache_folder


def installed(name: str, fill: Callable[[Path], None]) -> Path:
    """Give the cache's folder `name` (which holds the version), filled by `fill` if it is not there yet.

    It is filled under another name first, so that a broken-off download leaves nothing that looks whole.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / name
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            unfinished = cache / f"{name}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            fill(unfinished)
            unfinished.rename(target)
    return target


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command of an installation. Raises ServerError with the end of its output."""
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise ServerError(f"{command[0]} is not installed: it is needed to fetch a server") from None
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")[-2_000:]
        raise ServerError(f"{' '.join(command)} failed in {folder}:\n{output}")


def maven(folder: Path, artifacts: Sequence[str], without: Sequence[str] = ()) -> None:
    """Copy artifacts (`group:artifact:version`) and what they depend on into `folder`, as jars.

    Except for `without` (`group:artifact`, also `group:*`) and what only that needs.
    """
    excluded = "".join(
        "<exclusion><groupId>{}</groupId><artifactId>{}</artifactId></exclusion>".format(*one.split(":"))
        for one in without
    )
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "<exclusions>{}</exclusions></dependency>".format(*artifact.split(":"), excluded)
        for artifact in artifacts
    )
    pom = folder / "pom.xml"
    pom.write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>adtally</groupId>'
        f"<artifactId>local</artifactId><version>1</version><dependencies>{dependencies}</dependencies></project>"
    )
    run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], folder)


def debian(folder: Path, packages: Sequence[str]) -> None:
    """Unpack Debian packages (`name` or `name=version`) into `folder`, without root and without what they depend on."""
    download = ["apt-get", "-q", "download", *packages]
    try:
        run(download, folder)
    except ServerError:
        # The machine's own lists of packages may be old, or never have been fetched.
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::Lists={lists}", "-o", "Debug::NoLocking=1", "-o", f"Dir::Cache={lists}"]
        run(["apt-get", "-q", *own, "update"], folder)
        run([*download, *own], folder)
        shutil.rmtree(lists)
    for package in sorted(folder.glob("*.deb")):
        run(["dpkg", "-x", package.name, "."], folder)
        package.unlink()

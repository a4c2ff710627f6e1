"""nginx and wrk: from the machine, or from Debian's archive into a folder of the checkout, without root."""

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from bench.results import CHECKOUT

CACHE = CHECKOUT / ".tools" / "bench"

NEEDED = {"nginx": ("nginx",), "wrk": ("wrk", "libluajit-5.1-2")}
"""The Debian packages that a program comes in, with the libraries that a small machine does not have."""


class Tool(msgspec.Struct, frozen=True):
    """A program and the environment that it needs."""

    path: str
    environment: dict[str, str]


def find(name: str) -> Tool:
    """Find a program on PATH or /usr/sbin, else download it. Raises SystemExit that says what to install."""
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # noqa: TID251 - passed on to programs
    present = shutil.which(name, path=search)
    environment = dict(os.environ)  # noqa: TID251 - passed on to programs
    if present is not None:
        return Tool(present, environment)
    root = CACHE / "root"
    found = next((root / folder / name for folder in ("usr/sbin", "usr/bin") if (root / folder / name).exists()), None)
    if found is None:
        found = _download(name, root)
    libraries = sorted({str(path.parent) for path in root.glob("usr/lib/**/*.so*")})
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, environment.get("LD_LIBRARY_PATH", "")])
    return Tool(str(found), environment)


def _download(name: str, root: Path) -> Path:
    packages = CACHE / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", "-q", *NEEDED[name]], cwd=packages, check=True, capture_output=True)
        for package in packages.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{name} is neither installed nor to be had by apt-get ({error}): install {name}") from None
    return next(path for path in root.glob(f"usr/*bin/{name}"))

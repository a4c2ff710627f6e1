"""`make check-deploy`: what operators are given is shown to the programs that will read it. None of them runs it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.prometheus.promtool import promtool, questions

Command = Sequence[str | Path]

DEPLOY: Final = Path(__file__).parent
EXPOSURE_MAX: Final = 20
"""Of a unit, in tenths, as systemd reckons it: 100 is a service without any hardening."""


def main() -> None:
    """Run every check; exit 1 if one finds something. The argument is the folder of the checking programs."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = checks(Path(sys.argv[1]), Path(folder))
        failed = [name for name, commands in wanted.items() if not all(passes(name, each) for each in commands)]
    sys.exit(f"wrong: {', '.join(failed)}" if failed else 0)


def checks(tools: Path, folder: Path) -> dict[str, list[Command]]:
    """Give each check's commands; `folder` takes what they need."""
    manifests = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
    compose: list[str | Path] = ["--file", DEPLOY / "compose.yaml", "--env-file", DEPLOY / "compose.env.example"]
    found: dict[str, list[Command]] = {
        "Dockerfile": [[tools / "hadolint", DEPLOY / "Dockerfile"]],
        "compose.yaml": [[tools / "docker-compose", *compose, "config", "--quiet"]],
        "kubernetes": [[tools / "kubernetes-validate", "--strict", "--quiet", path] for path in manifests],
    }
    if shutil.which("apt-get"):
        program = promtool()
        found["prometheus"] = [[program, *question] for question in questions(folder)]
    else:
        print("prometheus: not checked, for promtool comes from Debian's package")
    if shutil.which("systemd-analyze"):
        units = checkable_units(folder)
        security = ("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE_MAX}")
        secure: list[Command] = [(*security, unit) for unit in units]
        found["systemd"] = [["systemd-analyze", "verify", *units], *secure]
    else:
        print("systemd: not checked, for there is no systemd-analyze here")
    return found


def checkable_units(folder: Path) -> list[Path]:
    """Copy the templates as units of one name; their program is one that is there, for systemd looks for it."""
    units: list[Path] = []
    for template in sorted((DEPLOY / "systemd").glob("*@.service")):
        unit = folder / template.name.replace("@", "@0")
        unit.write_text(template.read_text().replace("/usr/local/bin/adtally", sys.executable))
        units.append(unit)
    return units


def passes(name: str, command: Command) -> bool:
    """Tell whether a check finds nothing: exit code 0, and no word on standard error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    passed = done.returncode == 0 and not done.stderr.strip()
    print(f"{name}: {'right' if passed else 'WRONG'}" + ("" if passed else f"\n{done.stdout}{done.stderr}"))
    return passed


if __name__ == "__main__":
    main()

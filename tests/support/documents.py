"""What Markdown documents name (links, files, commands, options, settings), and which of it does not exist."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import msgspec

from adtally.cli.main import cli
from adtally.config import Config
from adtally.folder import DataFolder

CODE_SUFFIXES = (".py", ".md", ".sql", ".toml", ".lock", ".js", ".mjs", ".css", ".html", ".yml", ".yaml", ".sh")
DATA_FOLDER_NAMES = {place.name for place in vars(DataFolder(Path("DIR"))).values()}
FOREIGN_OPTIONS: dict[str, str] = {}
"""Options of other programs that a document names by themselves, and why."""

_FENCE = re.compile(r"^ *(```|~~~)[^\n]*\n(.*?)^ *\1[ \t]*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
_PATH = re.compile(r"\.?[\w-][\w.-]*(?:/[\w.-]+)*/?")
_SETTING = re.compile(rf"({'|'.join(Config.__struct_fields__)})\.([a-z_]+)")


class Document(msgspec.Struct, frozen=True):
    """A Markdown file taken apart."""

    path: Path
    prose: str
    """Without fenced code."""
    code: tuple[str, ...]
    """Lines of fenced code, continuation lines joined."""
    spans: tuple[str, ...]


def parse(path: Path) -> Document:
    """Take a file apart."""
    text = path.read_text(encoding="utf-8")
    fenced = "\n".join(match.group(2) for match in _FENCE.finditer(text)).replace("\\\n", " ")
    prose = _FENCE.sub("", text)
    spans = tuple(" ".join(span.split()) for span in _SPAN.findall(prose))
    return Document(path, prose, tuple(fenced.splitlines()), spans)


def link_problems(document: Document) -> Iterator[str]:
    """Name each link to a file or a heading that does not exist."""
    for target in _LINK.findall(_SPAN.sub("", document.prose)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = (document.path.parent / name) if name else document.path
        if not file.exists():
            yield f"link to {target}, which does not exist"
        elif heading and heading not in _anchors(file):
            yield f"link to {target}, which has no such heading"


def file_problems(document: Document, root: Path) -> Iterator[str]:
    """Name each file or folder of this repository, in code spans, that does not exist."""
    top = {entry.name for entry in root.iterdir()}
    for span in document.spans:
        if not _PATH.fullmatch(span) or Path(span).name in DATA_FOLDER_NAMES or _SETTING.fullmatch(span):
            continue
        if not (span.endswith(CODE_SUFFIXES) or ("/" in span and span.split("/")[0] in top)):
            continue
        homes = (root, document.path.parent, root / "src" / "adtally", root / "web" / "src")
        if not any((home / span).exists() for home in homes):
            yield f"`{span}`, which is no file"


def setting_problems(document: Document) -> Iterator[str]:
    """Name each setting, written `section.key`, that the configuration does not have."""
    for span in document.spans:
        match = _SETTING.fullmatch(span)
        if not match or span.endswith(CODE_SUFFIXES) or span in DATA_FOLDER_NAMES:
            continue
        if not hasattr(getattr(Config(), match[1]), match[2]):
            yield f"`{span}`, which is no setting"


def command_problems(document: Document, makefile: str) -> Iterator[str]:
    """Name each `adtally` command, option and `make` target that does not exist, in code spans and fenced code."""
    targets = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    for line in (*document.code, *document.spans):
        if line.startswith("--") and (option := line.split()[0].split("=")[0]) not in all_options() | set(
            FOREIGN_OPTIONS
        ):
            yield f"`{option}`, which is no option of any command"
        for part in re.split(r"\|\||&&|;| \| ", line.strip().removeprefix("$ ")):
            words = _words(part)
            if words[:1] == ["make"]:
                yield from (f"`make {word}`, which is no target" for word in words[1:2] if word not in targets)
            elif words and Path(words[0]).name == "adtally":
                yield from (f"`{part.strip()}`: {problem}" for problem in _adtally_problems(words[1:]))


@cache
def all_options() -> frozenset[str]:
    """Give the options of all commands."""
    return frozenset(name for command in _tree(cli) for name in _options(command))


def _adtally_problems(words: list[str]) -> Iterator[str]:
    commands: list[click.Command] = [cli]
    for word in words:
        option = word.split("=")[0]
        if option.startswith("-") and len(option) > 1:
            if not all(set(option.split("|")) <= _options(command) for command in commands):
                yield f"no option {option}"
            continue
        groups = [command for command in commands if isinstance(command, click.Group)]
        if not groups:
            continue
        found: list[click.Command] = []
        # `keys list|revoke` stands for two commands.
        for name in word.split("|"):
            subcommand = groups[0].get_command(click.Context(groups[0]), name)
            if subcommand is None:
                yield f"no command {name!r}"
                return
            found.append(subcommand)
        commands = found


def _words(part: str) -> list[str]:
    try:
        words = shlex.split(part, comments=True)
    except ValueError:
        words = part.split()
    stripped = [word.strip("[],.") for word in words]
    # `NAME=value command`: variables for one command come first.
    while stripped and re.fullmatch(r"[A-Z_]+=.*", stripped[0]):
        stripped.pop(0)
    return [word for word in stripped if word and word != "..."]


def _tree(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            if subcommand is not None:
                yield from _tree(subcommand)


def _options(command: click.Command) -> set[str]:
    found = {"--help", "-h"}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def _anchors(file: Path) -> set[str]:
    """Give a Markdown file's heading anchors, as GitHub forms them."""
    if file.suffix != ".md":
        return set()
    headings = _HEADING.findall(_FENCE.sub("", file.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

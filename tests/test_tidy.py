"""The rules of the house that are left when ruff and import-linter have had their say."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.code_rules import (
    FILE_LINES_MAX,
    FORBIDDEN_NAMES,
    client_imports,
    long_functions,
    undocumented_protocols,
)
from support.documents import command_problems, file_problems, link_problems, parse, setting_problems

ROOT = Path(__file__).parents[1]
SOURCE_SUFFIXES = (".py", ".js", ".mjs", ".css", ".html", ".sql")

CLIENTS = {
    "apsw": ("eventlog/sqlite/", "registry/copy.py", "registry/replica.py"),
    "chdb": ("olap/chdb/connection.py", "reconcile/chdb/engine.py"),
    "confluent_kafka": ("eventlog/kafka/", "stream/flink/topics.py"),
    "httpx": ("cli/target.py",),
    "psycopg": ("postgres.py",),
    "obstore": ("lake/objects.py",),
    "py4j": ("reconcile/spark/",),
    "pyspark": ("reconcile/spark/",),
    "prometheus_client": (
        "edge/host.py",
        "edge/stats.py",
        "serve/ledger_meter.py",
        "serve/meter.py",
        "wiring/meters.py",
    ),
    "redis": ("serve/cache/valkey.py",),
    "sqlalchemy": (
        "eventlog/sql/",
        "ledger/",
        "migrations.py",
        "postgres.py",
        "reconcile/requests_sql.py",
        "registry/",
        "sqldb.py",
    ),
    "starlette": ("serve/", "wiring/"),
    "uvicorn": ("wiring/",),
}
"""Clients of servers and stores, and the files (or folders) of src/adtally that may import them."""

LONG_FILES: dict[str, str] = {
    "src/adtally/config.py": "the table of all settings, which is read as one",
}
"""Files that may be longer, each with its reason."""

LONG_FUNCTIONS: dict[str, str] = {}
"""Functions, as `file:name`, that may be longer, each with its reason."""

FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|root|home|Users|opt)/\w"),
    "a package index": re.compile(r"(?:index-url|find-links|trusted-host)[ =]|\"resolved\": \"https?://"),
}
FOREIGN_ALLOWED: dict[str, str] = {"tests/test_tidy.py": "holds the patterns"}


def repository_files() -> list[Path]:
    """Give what is, or could be added to, the repository: nothing that is ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout.decode()  # fmt: skip
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


FILES = repository_files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
DOCUMENTS = [path for path in FILES if path.suffix == ".md" and "decisions" not in path.relative_to(ROOT).parts]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_there_is_something_to_check() -> None:
    assert {"src/adtally/event.py", "tests/test_tidy.py", "README.md"} <= {name(path) for path in FILES}


def test_no_file_is_longer_than_300_lines() -> None:
    sources = [path for path in FILES if path.suffix in SOURCE_SUFFIXES]
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    long = {file: lines for file, lines in lengths.items() if lines > FILE_LINES_MAX}
    assert long.keys() == LONG_FILES.keys(), f"too long, or an exception that is needed no more: {long}"


def test_no_function_is_longer_than_70_lines() -> None:
    long = {f"{name(path)}:{function}": lines for path in PYTHON for function, lines in long_functions(tree_of(path))}
    assert long.keys() == LONG_FUNCTIONS.keys(), f"too long, or an exception that is needed no more: {long}"


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    parts = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not parts & set(FORBIDDEN_NAMES)


def test_every_protocol_and_its_methods_have_docstrings() -> None:
    assert not [f"{name(path)}: {bare}" for path in PYTHON for bare in undocumented_protocols(tree_of(path))]


def test_clients_of_servers_and_stores_appear_only_in_the_files_of_the_table() -> None:
    package = ROOT / "src" / "adtally"
    strays: list[str] = []
    for path in PYTHON:
        if path.is_relative_to(package):
            inside = path.relative_to(package).as_posix()
            found = client_imports(tree_of(path), CLIENTS)
            strays += [f"{client} in {inside}" for client in found if not inside.startswith(CLIENTS[client])]
    assert not strays


def test_every_place_in_the_table_of_clients_exists() -> None:
    places = [place for allowed in CLIENTS.values() for place in allowed]
    assert not [place for place in places if not (ROOT / "src" / "adtally" / place).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_everything_that_a_document_names_exists(path: Path) -> None:
    assert not list(problems_of(path))


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found: list[str] = []
    for path in FILES:
        if name(path) not in FOREIGN_ALLOWED:
            text = path.read_bytes().decode(errors="replace")
            found += [
                f"{name(path)}: {what}: {m.group()}" for what, rule in FOREIGN.items() for m in rule.finditer(text)
            ]
    assert not found


def problems_of(path: Path) -> Iterator[str]:
    document = parse(path)
    yield from link_problems(document)
    yield from file_problems(document, ROOT)
    yield from setting_problems(document)
    yield from command_problems(document, (ROOT / "Makefile").read_text(encoding="utf-8"))


WRONG_DOCUMENT = """# Title
See [this](missing.md), [that](#no-such-heading), [fine](#title) and [the web](https://example.com/).
Files: `src/adtally/event.py`, `edge/nothing.py`, `tests/nowhere/`, `run.json`.
Settings: `edge.port`, `edge.prot`. Options: `--data-dir DIR`, `--no-such-option`.
Commands: `adtally version`, `adtally ads list|show`, `adtally ads fly`, `adtally version --yaml`,
`make test`, `make tea`.
```sh
$ ADTALLY_KEY=x adtally keys create --admin --json | cat   # fine
adtally keys crate && adtally fly
```
"""


def test_a_document_that_names_what_does_not_exist_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "wrong.md"
    path.write_text(WRONG_DOCUMENT, encoding="utf-8")
    assert list(problems_of(path)) == [
        "link to missing.md, which does not exist",
        "link to #no-such-heading, which has no such heading",
        "`edge/nothing.py`, which is no file",
        "`tests/nowhere/`, which is no file",
        "`edge.prot`, which is no setting",
        "`adtally keys crate`: no command 'crate'",
        "`adtally fly`: no command 'fly'",
        "`--no-such-option`, which is no option of any command",
        "`adtally ads fly`: no command 'fly'",
        "`adtally version --yaml`: no option --yaml",
        "`make tea`, which is no target",
    ]


def test_code_that_breaks_a_rule_is_found_out() -> None:
    long = "def long():\n" + "    x = 1\n" * 70
    assert list(long_functions(ast.parse(long))) == [("long", 71)]
    assert list(long_functions(ast.parse(long.replace("    x = 1\n", "", 1)))) == []
    bare = "class P(Protocol):\n    'doc'\n    def f(self): ...\n    def g(self):\n        'doc'\n"
    assert list(undocumented_protocols(ast.parse(bare))) == ["P.f"]
    lazy = "def f():\n    import apsw\n    from chdb.session import x\n    from . import httpx\n"
    assert client_imports(ast.parse(lazy), CLIENTS) == {"apsw", "chdb"}

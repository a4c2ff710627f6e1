"""Numbered migrations in plain SQL, for SQLite and PostgreSQL; a statement ends with a semicolon at the end of a line.

All that are new to a database are done in one transaction, so a kill leaves the old tables or the new ones. One that
was released is never edited again.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Dialect, MetaData, Table, select
from sqlalchemy.schema import CreateSchema

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import DataFolderError
from adtally.faultpoint import reach
from adtally.folder import sync_folder
from adtally.sqlitecopy import copy_database
from adtally.telemetry import log

COPIES_KEPT: Final = 3
"""Of one database, from before its last migrations."""

schema_version: Final = Table("schema_version", MetaData(), Column("version", BigInteger, primary_key=True))

_POSTGRESQL: Final = "postgresql"


def migrate(connection: Connection, folder: Path, name: str, file: Path | None = None) -> int:
    """Bring the tables to the newest migration's number, which is given, inside the caller's transaction.

    Of a SQLite `file` that has older tables a copy is kept first. Raises DataFolderError if the tables were made by a
    newer adtally.
    """
    known = {int(path.name.split("_")[0]): path for path in sorted(folder.glob("*.sql"))}
    newest = max(known)
    if connection.dialect.name == _POSTGRESQL:
        connection.execute(CreateSchema(name, if_not_exists=True))
    schema_version.create(connection, checkfirst=True)
    done = set(connection.scalars(select(schema_version.c.version)))
    if done and max(done) > newest:
        raise DataFolderError(newer_text(f"the {name}", max(done), newest))
    missing = sorted(known.keys() - done)
    if done and missing:
        _before(name, file, max(done), newest)
    for version in missing:
        for statement in known[version].read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(_in_words_of(connection.dialect, statement))
                reach("migration.statement")
        connection.execute(schema_version.insert(), {"version": version})
        reach("migration.noted")
    return newest


def newer_text(what: str, found: int, newest: int) -> str:
    """Say that a store was written by a newer adtally, and what to do."""
    return (
        f"{what} has version {found}, this adtally works on version {newest}: use the adtally that wrote it, or a "
        "newer one, or restore a backup from before the upgrade (docs/upgrading.md)"
    )


def keep_copy(name: str, number: int, file: Path, copy: Callable[[Path, Path], None]) -> Path:
    """Copy a database as it is before migration `number` into `backups/` beside it, and give where that is.

    The newest few of its copies stay. `copy` takes the file and the new one's path.
    """
    backups = file.parent / "backups"
    unfinished = backups / f".unfinished-{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    copy(file, unfinished / file.name)
    reach("migration.copied")
    at = datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() / 1000, UTC)
    target = backups / f"before-{name}-{number}-{at:%Y%m%dT%H%M%S.%fZ}"
    unfinished.replace(target)
    sync_folder(backups)
    copies = sorted(backups.glob(f"before-{name}-*"), key=lambda each: each.name.rpartition("-")[2])
    for old in copies[:-COPIES_KEPT]:
        shutil.rmtree(old)
    return target


def _before(name: str, file: Path | None, found: int, newest: int) -> None:
    if file is None:
        log.warning(
            "tables on a server are migrated: the way back is a backup from before, made with pg_dump",
            store=name, found=found, newest=newest,
        )  # fmt: skip
        return
    kept = keep_copy(name, newest, file, copy_database)
    log.warning(
        "tables are migrated; a copy from before is kept", store=name, found=found, newest=newest, kept=str(kept)
    )


def _in_words_of(dialect: Dialect, statement: str) -> str:
    if dialect.name != _POSTGRESQL:
        return statement
    from adtally.postgres import byte_ordered

    return byte_ordered(statement)

"""Fresh SQL databases for tests, each of them nobody else's."""

import secrets
from pathlib import Path

import pytest
from deploy.local.postgres import Postgres


def sqlite_file(request: pytest.FixtureRequest) -> Path:
    """Give the place of a SQLite file that is not there yet."""
    folder: Path = request.getfixturevalue("tmp_path")
    return folder / "database.db"


def postgres_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database on the session's PostgreSQL."""
    server: Postgres = request.getfixturevalue("servers").running(Postgres)
    return server.fresh_database(f"test_{secrets.token_hex(6)}")

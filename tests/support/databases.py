"""Fresh SQL databases for tests, each of them nobody else's."""

import secrets
from pathlib import Path

import pytest
from deploy.local.postgres import Postgres

from adtally import postgres
from support.patience import PATIENCE_S


def sqlite_file(request: pytest.FixtureRequest) -> Path:
    """Give the place of a SQLite file that is not there yet."""
    folder: Path = request.getfixturevalue("tmp_path")
    return folder / "database.db"


def postgres_url(request: pytest.FixtureRequest, *, patient: bool = True) -> str:
    """Give the URL of an empty database on the session's PostgreSQL.

    A test that is not about silent servers is patient: on a busy machine one that is well may need more than the two
    seconds after which the product gives up.
    """
    if patient:
        monkeypatch = request.getfixturevalue("monkeypatch")
        for name in ("CONNECT_S_MAX", "PING_S_MAX", "READ_S_MAX"):
            monkeypatch.setattr(postgres, name, round(PATIENCE_S))
        monkeypatch.setattr(postgres.BoundedConnection, "answer_s_max", PATIENCE_S)
    server: Postgres = request.getfixturevalue("servers").running(Postgres)
    return server.fresh_database(f"test_{secrets.token_hex(6)}")

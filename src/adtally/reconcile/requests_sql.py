"""Requests for passes in the ledger's database: the reconciler and the API servers may run on different hosts."""

from typing import Final

import msgspec
from sqlalchemy import delete, select, update

from adtally.ledger import schema
from adtally.reconcile.passes import Wanted
from adtally.reconcile.requests import REMEMBERED_MAX, RegularPass, Request, unknown_request
from adtally.sqldb import SqlDatabase, replace_statement

_NUMBER: Final = "reconcile request"
_REGULAR: Final = 0
"""Under this number stands the newest regular pass."""

_text: Final = msgspec.json.Encoder().encode


class SqlRequests:
    """Implements RequestBook. Thread-safe; other processes may have the same database open."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add(self, wanted: Wanted, now_ms: int) -> Request:
        """Note a request under the next number."""
        latest, table = schema.latest.c, schema.reconcile_request
        with self._database.transaction(write=True) as connection:
            # Whoever comes second waits here for the first one's end.
            connection.execute(update(schema.latest).where(latest.name == _NUMBER).values(value=latest.value + 1))
            number = connection.execute(select(latest.value).where(latest.name == _NUMBER)).scalar_one()
            request = Request(number, wanted, now_ms)
            connection.execute(table.insert(), _row(request))
            old = (table.c.number > _REGULAR) & (table.c.number <= number - REMEMBERED_MAX)
            connection.execute(delete(table).where(old))
        return request

    def get(self, number: int) -> Request:
        """Give a request as it stands. Raises NotFoundError."""
        table = schema.reconcile_request
        rows = (
            self._database.rows(select(table.c.document).where(table.c.number == number)) if number > _REGULAR else []
        )
        if not rows:
            raise unknown_request(number)
        return msgspec.json.decode(rows[0][0], type=Request)

    def unfinished(self) -> list[Request]:
        """Give the requests that are neither done nor failed, by number."""
        table = schema.reconcile_request
        open_ = (table.c.number > _REGULAR) & (table.c.finished == 0)
        rows = self._database.rows(select(table.c.document).where(open_).order_by(table.c.number))
        return [msgspec.json.decode(row[0], type=Request) for row in rows]

    def note(self, request: Request) -> None:
        """Put a request in the place of the one with its number."""
        table = schema.reconcile_request
        with self._database.transaction(write=True) as connection:
            connection.execute(update(table).where(table.c.number == request.number).values(**_row(request)))

    def note_pass(self, regular: RegularPass) -> None:
        """Note how the newest regular pass went."""
        row = {"number": _REGULAR, "finished": 1, "document": _text(regular).decode()}
        with self._database.transaction(write=True) as connection:
            connection.execute(replace_statement(self._database.dialect, schema.reconcile_request), row)

    def last_pass(self) -> RegularPass | None:
        """Give how the newest regular pass went."""
        table = schema.reconcile_request
        rows = self._database.rows(select(table.c.document).where(table.c.number == _REGULAR))
        return msgspec.json.decode(rows[0][0], type=RegularPass) if rows else None


def _row(request: Request) -> dict[str, object]:
    return {
        "number": request.number,
        "finished": int(request.state in ("done", "failed")),
        "document": _text(request).decode(),
    }

"""A reader that does not answer while the store is not whole."""

from collections.abc import Callable, Sequence
from typing import Final

from adtally.errors import StoreUnavailableError
from adtally.olap.port import AggregateQuery, AggregateRow, OlapReader


class ReaderWhenWhole:
    """Implements OlapReader: hands on to another one once `whole` says yes.

    An engine that leaves a damaged part aside, or a store that was made anew, answers as if rows had never been there,
    and final numbers would be too low until somebody has held them against the ledger.
    """

    def __init__(self, reader: OlapReader, whole: Callable[[], bool]) -> None:
        self._reader: Final = reader
        self._whole: Final = whole

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        """Answer a query. Raises as the other reader, and StoreUnavailableError while the store is not whole."""
        if not self._whole():
            raise StoreUnavailableError(
                "the store lacks published numbers, which are made anew from the lake: ask again soon"
            )
        return self._reader.aggregate(query)

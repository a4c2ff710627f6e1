"""A bounded cache for the hot path: its look-up is a plain dictionary's."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FifoCache(OrderedDict[K, V]):
    """Forgets its oldest entry when it is full.

    An OrderedDict, because taking the first key of a plain dict again and again walks over all that were deleted.
    """

    def __init__(self, entries_max: int) -> None:
        super().__init__()
        self.entries_max = entries_max

    def remember(self, key: K, value: V) -> V:
        """Keep a value that was not there, and give it back."""
        if len(self) >= self.entries_max:
            self.popitem(last=False)
        self[key] = value
        return value

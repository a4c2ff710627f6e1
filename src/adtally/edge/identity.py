"""Who numbers the events: a random edge_id, a counter without gaps, a time that never goes back (design section 3)."""

import secrets
from typing import Final

from adtally.event import Closing, Heartbeat, Opening

CLOCK_JUMP_MS: Final = 1_000
"""A clock that goes back by more ends the edge_id; by less, the last time is given until the clock has passed it."""


def new_edge_id() -> str:
    """Give 16 random hex digits, so that no start of any edge anywhere shares them."""
    return secrets.token_hex(8)


class Identity:
    """The identity of one edge worker's events.

    `ts_ms` is the latest time given or promised: no event of this `edge_id` will ever carry an earlier one.
    """

    __slots__ = ("edge_id", "last_seq", "ts_ms")

    def __init__(self, edge_id: str, now_ms: int) -> None:
        self.edge_id = edge_id
        self.last_seq = 0
        self.ts_ms = now_ms

    def observe(self, now_ms: int) -> tuple[Closing, Opening] | None:
        """Take note of the clock before `ts_ms` is used.

        Where the clock jumped back too far, a new edge_id begins, and the records that say so are given: they go into
        the log before any of its events.
        """
        if now_ms >= self.ts_ms:
            self.ts_ms = now_ms
            return None
        if self.ts_ms - now_ms <= CLOCK_JUMP_MS:
            return None
        closing = Closing(self.edge_id, self.last_seq, self.ts_ms)
        self.edge_id, self.last_seq, self.ts_ms = new_edge_id(), 0, now_ms
        return closing, Opening(self.edge_id, now_ms)

    def number(self) -> int:
        """Give the next event's number: 1, 2, 3 and so on."""
        self.last_seq += 1
        return self.last_seq

    def heartbeat(self) -> Heartbeat:
        """Promise that all up to `last_seq` were numbered and that none that follows is older than `ts_ms`."""
        return Heartbeat(self.edge_id, self.last_seq, self.ts_ms)

    def closing(self) -> Closing:
        """Say that this worker ends in order, and that nobody follows it for now."""
        return Closing(self.edge_id, self.last_seq, self.ts_ms, retired=True)

"""Which clicks share a commit."""

import asyncio
from collections.abc import Sequence
from typing import Any

from adtally.clock import SYSTEM_CLOCK
from adtally.config import EdgeConfig
from adtally.edge.clicks import Request
from adtally.edge.clients import Clients
from adtally.edge.exchange import Reply
from adtally.edge.site import GATHER_TURNS_MAX, EdgeSite
from unit.edge.running import EDGE_ID, DictReplica, MemoryWriter

REQUEST = Request(b"GET", b"/click", b"ad_id=ad_1&user_id=u", {}, Clients(()).peer("127.0.0.1"), body=False)


class Submitted:
    """Stands in for the commit thread: takes batches, and never ends one by itself."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, batch: Sequence[Any], loss: object) -> None:
        self.sizes.append(len(batch))


class NoConnection:
    """Where an answer goes that nobody waits for."""

    outstanding: Sequence[Reply] = ()


async def batches(clicks: Sequence[int], *, finish_in_turn: int | None = None) -> list[int]:
    """Give the sizes of the batches where so many clicks come in each turn of the loop."""
    site = EdgeSite(EdgeConfig(), DictReplica(), MemoryWriter(), EDGE_ID, SYSTEM_CLOCK)
    submitted = Submitted()
    site._thread = submitted  # type: ignore[misc, assignment]
    for turn, count in enumerate([*clicks, 0, 0, 0, 0]):
        if turn == finish_in_turn:
            site._finished(None, 0.0)
        for _ in range(count):
            site.click(REQUEST, Reply(NoConnection(), False))  # type: ignore[arg-type]
        await asyncio.sleep(0)
    return submitted.sizes


def test_clicks_of_successive_turns_share_a_commit() -> None:
    assert asyncio.run(batches([3, 2, 1])) == [6]


def test_a_click_does_not_wait_for_more_than_one_turn_that_brings_nothing() -> None:
    assert asyncio.run(batches([1, 0, 1])) == [1]


def test_a_batch_waits_for_a_few_turns_only() -> None:
    assert asyncio.run(batches([1] * 20)) == [1 + GATHER_TURNS_MAX]


def test_what_waited_for_a_commit_is_joined_by_those_that_its_end_lets_go_on() -> None:
    assert asyncio.run(batches([1, 0, 4, 0, 2, 1], finish_in_turn=4)) == [1, 7]


def test_an_edge_is_not_drained_while_its_clicks_gather() -> None:
    async def drained() -> list[bool]:
        site = EdgeSite(EdgeConfig(), DictReplica(), MemoryWriter(), EDGE_ID, SYSTEM_CLOCK)
        site._thread = Submitted()  # type: ignore[misc, assignment]
        seen = [site.drained.is_set()]
        for query in (b"ad_id=unknown", b"ad_id=ad_1&user_id=u"):
            request = Request(b"GET", b"/click", query, {}, REQUEST.peer, body=False)
            site.click(request, Reply(NoConnection(), False))  # type: ignore[arg-type]
            seen.append(site.drained.is_set())
            for _ in range(4):
                await asyncio.sleep(0)
            seen.append(site.drained.is_set())
        site._finished(None, 0.0)
        return [*seen, site.drained.is_set()]

    assert asyncio.run(drained()) == [True, False, True, False, False, True]

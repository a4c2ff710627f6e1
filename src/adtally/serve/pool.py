"""Threads for calls that block, so that none of them blocks the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from adtally.errors import StoreUnavailableError

WAITING_MAX: Final = 500
"""Calls that wait for a thread; above this the answer is 503 at once, not a timeout later."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Pool:
    """A fixed number of threads that live as long as the application: stores keep a connection for each."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._running_max = threads + WAITING_MAX
        self._running = 0

    async def run(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call `function` in a thread. Raises what it raises, and StoreUnavailableError if too many calls wait."""
        if self._running >= self._running_max:
            raise StoreUnavailableError(f"{self._running} requests wait already")
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))
        finally:
            self._running -= 1

    def close(self) -> None:
        """Wait for the calls that run, and end the threads."""
        self._executor.shutdown(cancel_futures=True)

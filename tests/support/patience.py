"""Patience with servers on a busy machine: what may be asked again is asked again until it is answered."""

import time
from collections.abc import Callable
from typing import TypeVar

from adtally.errors import CacheError, LakeError, StoreUnavailableError

PATIENCE_S = 120.0
"""It costs nothing where the answer comes at once."""
RETRY_S = 0.05

Given = TypeVar("Given")


def until_it_answers(
    call: Callable[[], Given],
    tried_again: tuple[type[Exception], ...] = (StoreUnavailableError, LakeError, CacheError),
    final: tuple[type[Exception], ...] = (),
) -> Given:
    """Call until no error comes that says "try again later", and give the answer; `final` errors are raised at once."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except final:
            raise
        except tried_again:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(RETRY_S)

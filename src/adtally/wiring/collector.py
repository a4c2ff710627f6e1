"""How often a role looks for cycles of garbage."""

import gc
from typing import Final

NEW_OBJECTS: Final = 200_000


def look_for_cycles_less_often() -> None:
    """Leave alone what the role has loaded, and look at what comes later only now and then: before it is ready.

    What comes are rows, events and strings, which hold no cycles. With the interpreter's own numbers a question for a
    day of minutes had it look through all modules again and again: 40 to 70 ms in which no other thread runs.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 100)

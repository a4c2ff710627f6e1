"""What a run can be like."""

from typing import Any

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """What a run is like: how often (as weights) what happens, and how far the clock goes."""

    kills: float = 0
    restarts: float = 0
    """Of the counter alone, at rest or in the middle of a call."""
    power: float = 0
    trouble: float = 0
    """Of a full or failing disk."""
    stops: float = 0
    clock_back: float = 0
    pauses_ms: tuple[int, ...] = (0, 1, 7, 40, 300, 1_100)
    long_pauses: float = 1.5
    long_pauses_ms: tuple[int, ...] = (7_000, 20_000, 59_000, 61_000, 119_999, 120_000)
    actions: int = 250
    whole: bool = False
    """With archiver, lake, ledger, reconciler and final tables."""
    hours: float = 0
    """Of minutes or hours that pass while everything does its work."""
    partings: float = 0
    """Of the store, which is not reached, or fails in the middle of a call."""
    imports: float = 0
    changes: float = 0
    """Of the ads, which edges learn of later."""
    losses: float = 0
    """Of published partitions that the store forgets."""
    skewed: bool = False
    """The edges' clocks differ."""

    @property
    def exact(self) -> bool:
        """Whether the live numbers follow the rule exactly, which they do while no clock is set back."""
        return self.clock_back == 0 and not self.skewed


MINUTE_MS = 60_000
HOURS_MS = (20_000, 61_000, 10 * MINUTE_MS, 25 * MINUTE_MS, 60 * MINUTE_MS, 61 * MINUTE_MS)


def _whole(**weights: float) -> Profile:
    usual: dict[str, Any] = {"hours": 8, "imports": 0.8, "actions": 300, "changes": 0.5}
    return Profile(whole=True, long_pauses=1.5, long_pauses_ms=HOURS_MS, **(usual | weights))


PROFILES = {
    "calm": Profile(restarts=0.2, stops=0.3),
    "kills": Profile(kills=1, restarts=1, stops=0.3),
    "restarts": Profile(restarts=1.5, long_pauses=12, long_pauses_ms=(7_000, 20_000, 40_000), actions=500),
    "stops": Profile(restarts=2, stops=0.25, long_pauses=12, long_pauses_ms=(7_000, 20_000, 40_000), actions=500),
    "power": Profile(kills=0.3, restarts=0.3, power=1.5),
    "crashes": Profile(kills=2, restarts=1, power=3),
    "disk": Profile(kills=0.3, restarts=0.5, trouble=1.5),
    "everything": Profile(kills=0.7, restarts=0.7, power=0.7, trouble=0.7, stops=0.5),
    "clock": Profile(kills=0.7, restarts=0.7, power=0.3, trouble=0.3, stops=0.3, clock_back=2),
    "hours": _whole(restarts=0.2, stops=0.2),
    "hours-passes": _whole(restarts=1.5, hours=30, imports=3, actions=120),
    "hours-kills": _whole(kills=1, restarts=1, stops=0.3, partings=0.3),
    "hours-power": _whole(kills=0.3, restarts=0.5, power=1.2),
    "hours-disk": _whole(kills=0.3, restarts=0.5, trouble=1.5),
    "hours-away": _whole(restarts=0.5, partings=2, losses=0.6),
    "hours-everything": _whole(kills=0.7, restarts=0.7, power=0.7, trouble=0.7, stops=0.5, partings=0.7, losses=0.4),
    "hours-clock": _whole(kills=0.5, restarts=0.5, power=0.3, partings=0.3, clock_back=1, skewed=True),
}

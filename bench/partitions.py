"""How evenly clicks lie on a log's partitions, for three choices of the key that chooses the partition: simulated."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Final
from zlib import crc32

import msgspec

from adtally.counting import partition_of
from bench.results import Row

ADS: Final = 100_000
USERS: Final = 5_000_000
ZIPF: Final = 1.3
HOT_SHARE: Final = 0.8
DOUBLE_SHARE: Final = 0.05
PARTITIONS: Final = (12, 48)
SALTED_SHARE: Final = 0.01
"""Who salts hot ads salts those that take more of all clicks than this, and is taken to know them."""

Click = tuple[int, int]
"""The numbers of an ad, 0 the most popular, and of a user."""
Key = Callable[[int, int, int], int]
"""Gives the partition for an ad, a user and the number of partitions."""


class Load(msgspec.Struct, frozen=True):
    """How clicks lie on partitions."""

    max_to_mean: float
    """Of the clicks of a partition: what the fullest needs, when the mean one needs 1."""
    doubles_apart: float
    """The share of double clicks whose two events lie in different partitions: no reader of one partition sees them."""


def measure(quick: bool) -> list[Row]:
    """Give a row for each traffic, number of partitions and key."""
    number = 100_000 if quick else 1_000_000
    rows: list[Row] = []
    for traffic, hot_share in (("ads by Zipf 1.3", 0.0), ("one ad takes 80 %, the others by Zipf 1.3", HOT_SHARE)):
        clicks = traffic_of(number, hot_share, Random(f"{number} {hot_share}"))
        for partitions in PARTITIONS:
            for key, choice in keys(clicks).items():
                load = load_of(clicks, partitions, choice)
                what = f"load of the fullest of {partitions} partitions ÷ mean, {number:,} clicks, {traffic}: {key}"
                apart = f"{load.doubles_apart:.1%} of double clicks apart"
                aim = "1.1" if key == "by user" else ""
                rows.append(Row("partitions", what, f"{load.max_to_mean:.2f}", apart, aim=aim))
    return rows


def traffic_of(number: int, hot_share: float, random: Random) -> list[Click]:
    """Give clicks: ad n of all with a share by n ** -1.3, or the first with `hot_share` and the others so."""
    weights = [rank**-ZIPF for rank in range(1, ADS + 1)]
    if hot_share:
        weights[0] = sum(weights[1:]) * hot_share / (1 - hot_share)
    ads = random.choices(range(ADS), cum_weights=list(accumulate(weights)), k=number)
    return [(ad, random.randrange(USERS)) for ad in ads]


def keys(clicks: Sequence[Click]) -> dict[str, Key]:
    """Give the three choices; which ads are hot is told by the clicks themselves, as nobody could in time."""
    hot = {ad for ad, count in Counter(ad for ad, _ in clicks).items() if count > SALTED_SHARE * len(clicks)}
    salt = Random("salt")

    def by_ad(ad: int, _user: int, partitions: int) -> int:
        return crc32(f"ad_{ad}".encode()) % partitions

    def salted(ad: int, user: int, partitions: int) -> int:
        return salt.randrange(partitions) if ad in hot else by_ad(ad, user, partitions)

    def by_user(ad: int, user: int, partitions: int) -> int:
        return partition_of(f"ad_{ad}", f"user_{user}", partitions)

    return {"by ad": by_ad, "by ad, hot ads salted": salted, "by user": by_user}


def load_of(clicks: Sequence[Click], partitions: int, key: Key) -> Load:
    """Put the clicks on partitions, each twentieth of them as two events."""
    counts = [0] * partitions
    doubles = apart = 0
    for number, (ad, user) in enumerate(clicks):
        partition = key(ad, user, partitions)
        counts[partition] += 1
        if number % round(1 / DOUBLE_SHARE) == 0:
            second = key(ad, user, partitions)
            counts[second] += 1
            doubles += 1
            apart += second != partition
    return Load(max(counts) * partitions / sum(counts), apart / doubles)

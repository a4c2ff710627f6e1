"""The hash of a manifest (ledger/port.py): which events there are, whatever files and in whatever order. Pure.

Every engine can compute it, with 64-bit integers that wrap:

- `mix(x)` is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014):
  `x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9; x = (x ^ x >> 27) * 0x94D049BB133111EB; x ^ x >> 31`, shifts without sign.
- A lane of a set of sequence numbers is the sum, modulo 2**64, of `mix(seq + OFFSET)` over the distinct numbers.
- The hash of one edge's events is its two lanes as 32 hex digits. Lanes of disjoint sets add up.
- The hash of events of several edges is BLAKE2b-128 (RFC 7693) over a line `edge_id events hash` for each edge, each
  ended by a line feed, ascending by the edge id's code points.

It finds accidents: two different sets of one size have the same hash once in 2**128. It is no signature.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from adtally.ledger.port import EdgeEvents, Manifest

FIRST_MULTIPLIER: Final = 0xBF58476D1CE4E5B9
SECOND_MULTIPLIER: Final = 0x94D049BB133111EB
OFFSETS: Final = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)
"""Of the two lanes."""

_BITS: Final = (1 << 64) - 1


def seqs_hash(seqs: Iterable[int]) -> str:
    """Give the hash of one edge's events by their numbers, each of which counts once."""
    first, second = 0, 0
    for seq in set(seqs):
        first += _mix(seq + OFFSETS[0])
        second += _mix(seq + OFFSETS[1])
    return lanes_hash(first, second)


def lanes_hash(first: int, second: int) -> str:
    """Give the hash of one edge's events from sums of its lanes, which may have outgrown 64 bits."""
    return f"{first & _BITS:016x}{second & _BITS:016x}"


def events_hash(edges: Iterable[EdgeEvents]) -> str:
    """Give the hash of the events of several edges, each of which stands there once."""
    digest = blake2b(digest_size=16)
    for edge in sorted(edges, key=lambda edge: edge.edge_id):
        digest.update(f"{edge.edge_id} {edge.events} {edge.hash}\n".encode())
    return digest.hexdigest()


def manifest(edges: Sequence[EdgeEvents], before: Sequence[EdgeEvents]) -> Manifest:
    """Give the manifest of an hour by its edges and those of the window before it."""
    return Manifest(
        events=sum(edge.events for edge in edges),
        hash=events_hash(edges),
        window_events=sum(edge.events for edge in before),
        window_hash=events_hash(before),
    )


def _mix(number: int) -> int:
    number &= _BITS
    number = (number ^ number >> 30) * FIRST_MULTIPLIER & _BITS
    number = (number ^ number >> 27) * SECOND_MULTIPLIER & _BITS
    return number ^ number >> 31

"""The hash of a manifest is written down: other engines must give the same one."""

from adtally.ledger.port import EdgeEvents
from adtally.reconcile.manifest import events_hash, lanes_hash, seqs_hash


def test_the_lanes_are_the_numbers_of_splitmix64() -> None:
    # The published first output of SplitMix64 with seed 0 is mix(0 + 0x9E3779B97F4A7C15).
    assert seqs_hash([0])[:16] == "e220a8397b1dcdaf"


def test_the_order_and_repetitions_of_numbers_do_not_matter_and_the_numbers_do() -> None:
    assert seqs_hash([1, 2, 2**62]) == seqs_hash([2**62, 2, 1, 2])
    assert len({seqs_hash(seqs) for seqs in ([], [1], [2], [1, 2], [1, 3])}) == 5


def test_lanes_of_disjoint_sets_add_up() -> None:
    parts = [seqs_hash(range(10)), seqs_hash(range(10, 25))]
    first, second = (sum(int(part[begin : begin + 16], 16) for part in parts) for begin in (0, 16))
    assert lanes_hash(first, second) == seqs_hash(range(25))


def test_the_order_of_edges_does_not_matter_and_whose_numbers_they_are_does() -> None:
    a, b = EdgeEvents("a", 1, 2, 2, seqs_hash([1, 2])), EdgeEvents("b", 1, 3, 2, seqs_hash([1, 3]))
    swapped = EdgeEvents("a", 1, 3, 2, b.hash), EdgeEvents("b", 1, 2, 2, a.hash)
    assert events_hash([a, b]) == events_hash([b, a])
    assert events_hash(swapped) != events_hash([a, b])
    assert events_hash([a]) != events_hash([]) == "cae66941d9efbd404e4d88758ea67670"

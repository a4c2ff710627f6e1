"""What is kept of a request's head."""

from hypothesis import given
from hypothesis import strategies as st

from adtally.edge.clients import Clients
from adtally.edge.heads import IGNORED, SPELLED, WANTED, read_head

PEER = Clients(()).peer("127.0.0.1")
NAMES = st.sampled_from([*WANTED, *IGNORED, b"x-other"]).flatmap(
    lambda name: st.one_of(
        st.sampled_from([name, name.title(), name.upper()]),
        st.lists(st.booleans(), min_size=len(name), max_size=len(name)).map(
            lambda flags: bytes(
                (name[i : i + 1].upper() if flag else name[i : i + 1])[0] for i, flag in enumerate(flags)
            )
        ),
    )
)


@given(NAMES)
def test_a_header_is_kept_or_ignored_however_its_name_is_spelled(name: bytes) -> None:
    found = read_head(b"POST", b"/click", [(name, b"value")], PEER, short=True).headers

    wanted = WANTED.get(name.lower())
    assert found == ({} if wanted is None else {wanted: b"value"})


def test_no_header_that_matters_is_among_the_ignored_ones() -> None:
    assert not set(IGNORED) & set(WANTED)
    assert all(WANTED.get(spelled.lower()) == wanted for spelled, wanted in SPELLED.items())

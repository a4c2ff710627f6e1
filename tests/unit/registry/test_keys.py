import re
import zlib
from hashlib import sha256

from adtally.registry import keys


def test_a_key_looks_as_scanners_expect_it() -> None:
    issued = keys.issue()
    assert re.fullmatch(r"adt_live_[0-9A-Za-z]{38}", issued.key)
    assert issued.key.startswith(issued.prefix)
    assert issued.prefix == "adt_live_" + issued.key_id


def test_no_two_keys_are_alike() -> None:
    assert len({keys.issue().key_id for _ in range(1_000)}) == 1_000


def test_the_checksum_is_crc32_in_base62() -> None:
    body = "0" * 32
    number = 0
    for digit in keys._checksum(body):
        number = number * 62 + keys.ALPHABET.index(digit)
    assert number == zlib.crc32(body.encode())


def test_a_mistyped_key_is_known_without_asking_the_database() -> None:
    key = keys.issue().key
    assert keys.key_id_of(key) == key[9:19]
    for place in range(9, len(key)):
        wrong = key[:place] + ("0" if key[place] != "0" else "1") + key[place + 1 :]
        assert keys.key_id_of(wrong) is None


def test_only_the_hash_of_the_whole_key_matches() -> None:
    issued, other = keys.issue(), keys.issue()
    assert issued.secret_hash == sha256(issued.key.encode()).hexdigest()
    assert keys.matches(issued.key, issued.secret_hash)
    assert not keys.matches(other.key, issued.secret_hash)
    assert not keys.matches(issued.key, None)


def test_a_new_key_does_not_show_its_secret_in_a_stack_trace() -> None:
    issued = keys.issue()
    assert issued.key not in repr(issued)
    assert issued.key_id in repr(issued)

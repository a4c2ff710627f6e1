"""On which shard an advertiser's rows lie. Written down: a client's or server's own hash must not take its place."""

from zlib import crc32


def shard_of(advertiser_id: str, shards: int) -> int:
    """Give the shard, from 0, that holds all rows of an advertiser: CRC-32 (ISO 3309) of its id modulo their number."""
    return crc32(advertiser_id.encode()) % shards

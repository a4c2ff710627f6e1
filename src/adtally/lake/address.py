"""Addresses in S3, `s3://bucket/key`, and what it takes to use them."""

import re
from typing import Final

import msgspec

from adtally.errors import ConfigError

_ADDRESS: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


class S3Access(msgspec.Struct, frozen=True):
    """How to reach S3: settings lake.s3_*. An empty endpoint is Amazon's, an empty key the host's own."""

    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""

    def __repr__(self) -> str:
        return f"S3Access({self.endpoint!r}, {self.region!r})"


def split_address(address: str) -> tuple[str, str]:
    """Give bucket and key of `s3://bucket/key`. Raises ConfigError."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(f"{address!r} is no address in S3: write s3://bucket/prefix")
    return found[1], found[2] or ""


def is_address(location: str) -> bool:
    """Tell an address in S3 from a local path."""
    return location.startswith("s3://")

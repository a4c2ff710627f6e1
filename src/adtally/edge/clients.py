"""Where a request comes from, without ever keeping it whole (design sections 4 and 8)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import msgspec

from adtally.errors import ConfigError

CLIENT_CACHE_ENTRIES: Final = 65_536
_REFERRER: Final = re.compile(
    rb"https?://(?:[^/?#@]*@)?(\[[0-9a-f:.]{2,45}\]|[^\s/?#@:\[\]]{1,253})(?=[/:?#]|$)", re.IGNORECASE
)


class Client(msgspec.Struct, frozen=True, gc=False):
    """One client. `address` is for comparisons in memory; only `prefix` may be stored or logged."""

    address: str
    prefix: str
    loopback: bool
    trusted: bool

    def __repr__(self) -> str:
        return f"Client({self.prefix})"


class Clients:
    """Tells clients by the connection's other end, and behind trusted proxies by X-Forwarded-For."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        try:
            self._trusted = [ip_network(network) for network in trusted_proxies]
        except ValueError as error:
            raise ConfigError(f"edge.trusted_proxies: {error}; give networks such as 10.0.0.0/8") from None
        self.peer = lru_cache(CLIENT_CACHE_ENTRIES)(self._peer)
        self._forwarded = lru_cache(CLIENT_CACHE_ENTRIES)(self._right_most_untrusted)

    def behind(self, peer: Client, forwarded_for: bytes | None) -> Client:
        """Give the client: `peer`, or, if that is a trusted proxy, the right-most address that is not one."""
        if forwarded_for is None or not peer.trusted:
            return peer
        return self._forwarded(peer, forwarded_for)

    def _peer(self, host: str) -> Client:
        address = ip_address(host)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        trusted = any(address in network for network in self._trusted)
        return Client(str(address), ip_prefix(address), address.is_loopback, trusted)

    def _right_most_untrusted(self, peer: Client, forwarded_for: bytes) -> Client:
        client = peer
        for hop in reversed(forwarded_for.split(b",")):
            try:
                client = self.peer(_without_port(hop.strip().decode("ascii")))
            except ValueError:
                # Left of something unreadable nothing can be believed.
                return client
            if not client.trusted:
                return client
        return client


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def ip_prefix(address: IPv4Address | IPv6Address) -> str:
    """Give the network that is stored in place of an address: IPv4 /24, IPv6 /48."""
    bits = 24 if isinstance(address, IPv4Address) else 48
    # By the number, because an IPv6 address may carry a scope that a network must not.
    return str(ip_network((int(address), bits) if bits == 24 else (address.packed, bits), strict=False))


def referrer_host(referer: bytes) -> str | None:
    """Give the host of a Referer header in lower case, None where it names none; never its path or query."""
    match = _REFERRER.match(referer)
    if match is None:
        return None
    try:
        return match[1].decode("ascii").lower()
    except UnicodeDecodeError:
        return None

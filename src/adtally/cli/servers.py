"""Whether the servers that a configuration names take connections, for `adtally doctor`."""

import socket
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from adtally.config import Config

CONNECT_S_MAX: Final = 2.0
_PORTS: Final = {"postgresql": 5432, "redis": 6379, "rediss": 6379, "http": 80, "https": 443, "kafka": 9092}


def servers_of(config: Config) -> Iterator[tuple[str, str, int]]:
    """Give setting, host and port of each server that is named; no secret is among them."""
    named = [("log.brokers", f"kafka://{broker}") for broker in config.log.brokers]
    named += [("olap.urls", url) for url in config.olap.urls]
    for setting, url in (
        ("lake.s3_endpoint", config.lake.s3_endpoint),
        ("registry.url", config.registry.url),
        ("ledger.url", config.ledger.url),
        ("serve.cache_url", config.serve.cache_url),
        ("stream.flink_url", config.stream.flink_url),
    ):
        if url:
            named.append((setting, url))
    for setting, url in named:
        place = urlsplit(url)
        if place.hostname:
            yield setting, place.hostname, place.port or _PORTS.get(place.scheme.partition("+")[0], 0)


def refusal(host: str, port: int) -> str | None:
    """Try to connect; give why that fails, None where it does not."""
    try:
        socket.create_connection((host, port), CONNECT_S_MAX).close()
    except TimeoutError:
        return f"does not answer within {CONNECT_S_MAX:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None

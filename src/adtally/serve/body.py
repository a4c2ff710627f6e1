"""Request bodies: bounded, then typed."""

from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from adtally.errors import AdtallyError, InvalidValueError

JSON_BYTES_MAX: Final = 64 * 1024
NDJSON_BYTES_MAX: Final = 32 * 1024 * 1024

Decoded = TypeVar("Decoded")


class TooLargeError(AdtallyError):
    """A request's body is larger than its address takes."""


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Give the whole body. Raises TooLargeError as soon as it is known to be larger than `bytes_max`."""
    declared = request.headers.get("content-length", "")
    parts: list[bytes] = []
    size = int(declared) if declared.isdigit() else 0
    if size <= bytes_max:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > bytes_max:
                break
            parts.append(part)
    if size > bytes_max:
        raise TooLargeError(f"the body has more than {bytes_max:,} bytes")
    return b"".join(parts)


def decode_json(raw: bytes, to: type[Decoded]) -> Decoded:
    """Give a JSON body as a typed value. Raises InvalidValueError naming the member."""
    try:
        return msgspec.json.decode(raw, type=to)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise InvalidValueError(path.rstrip("`") or "body", reason) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError("body", f"is not valid JSON: {error}") from None

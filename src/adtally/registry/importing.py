"""Imports files of ads in batches, so that a bad row costs only itself (design section 8, "Files")."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec

from adtally.errors import InvalidValueError, UsageError
from adtally.registry.ad_files import Format, Row, read_csv, read_ndjson, read_parquet
from adtally.registry.port import Ad, RefusedAdsError, Registry, UpsertResult
from adtally.registry.rules import check_ad
from adtally.rowfiles import BATCH_ROWS, RowError

_READERS = {"csv": read_csv, "ndjson": read_ndjson, "parquet": read_parquet}


class Batch(msgspec.Struct, frozen=True):
    """Up to BATCH_ROWS rows of a file: ads, not yet checked against the rules, and what could not be read as one."""

    lines: list[int]
    """The line of each ad."""
    ads: list[Ad]
    errors: list[RowError]
    bytes_read: int
    """How far in the file this batch ends, about."""


class Stored(msgspec.Struct, frozen=True):
    """What became of a batch; also the answer of `POST /v1/ads/import`."""

    created: int
    changed: int
    unchanged: int
    errors: list[RowError]


def read_batches(file: Path, file_format: Format) -> Iterator[Batch]:
    """Read a file of ads in bounded memory. Raises UsageError if it cannot be read, or is not one of ads at all."""
    try:
        with file.open("rb") as source, closing(_READERS[file_format](source)) as rows:
            while chunk := list(islice(rows, BATCH_ROWS)):
                yield _batch(chunk, source.tell())
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None


def store_batch(registry: Registry, lines: list[int], ads: list[Ad]) -> Stored:
    """Store those ads that can be stored, and tell the line and the reason of each other one."""
    errors: list[RowError] = []
    while ads:
        try:
            result = registry.upsert_ads(ads)
        except InvalidValueError:
            bad = invalid_ads(ads)
        except RefusedAdsError as error:
            bad = {ad.index: ad.reason for ad in error.refused}
        else:
            break
        errors += [RowError(lines[index], reason) for index, reason in bad.items()]
        lines = [line for index, line in enumerate(lines) if index not in bad]
        ads = [ad for index, ad in enumerate(ads) if index not in bad]
    else:
        result = UpsertResult(0, 0, 0)
    return Stored(result.created, result.changed, result.unchanged, sorted(errors, key=lambda error: error.line))


def invalid_ads(ads: list[Ad]) -> dict[int, str]:
    """Give, by its index, the reason for each ad that breaks a rule of registry/rules.py."""
    bad: dict[int, str] = {}
    for index, ad in enumerate(ads):
        try:
            check_ad(ad)
        except InvalidValueError as error:
            bad[index] = str(error)
    return bad


def _batch(rows: list[Row], bytes_read: int) -> Batch:
    good = [(line, ad) for line, ad in rows if isinstance(ad, Ad)]
    errors = [RowError(line, reason) for line, reason in rows if isinstance(reason, str)]
    return Batch([line for line, _ in good], [ad for _, ad in good], errors, bytes_read)

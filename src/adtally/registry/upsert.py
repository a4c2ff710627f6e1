"""Stores a batch of ads inside one transaction, and tells what it did."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Table

from adtally.registry import schema
from adtally.registry.changes import note_change
from adtally.registry.port import Ad, RefusedAd, RefusedAdsError, UpsertResult
from adtally.sqldb import insert_statement, lookup_statement

Row = tuple[str, ...]
"""In the order of its table's columns, the primary key first. An ad's are those of Ad's fields."""


def upsert(connection: Connection, ads: Sequence[Ad]) -> UpsertResult:
    """Store checked ads. Raises RefusedAdsError for those that would take an ad or campaign from its advertiser."""
    stored = _lookup(connection, schema.ad, {ad.ad_id for ad in ads})
    known_campaigns = _lookup(connection, schema.campaign, {ad.campaign_id for ad in ads} - {""})
    owners = {campaign_id: row[1] for campaign_id, row in known_campaigns.items()}
    refused: list[RefusedAd] = []
    writes: dict[str, Row] = {}
    created = changed = 0
    for index, ad in enumerate(ads):
        row = msgspec.structs.astuple(ad)
        before = stored.get(ad.ad_id)
        if before == row:
            continue
        reason = _why_refused(ad, before, owners.get(ad.campaign_id))
        if reason is not None:
            refused.append(RefusedAd(index, reason))
            continue
        if before is None:
            created += 1
        else:
            changed += 1
        if ad.campaign_id:
            owners[ad.campaign_id] = ad.advertiser_id
        stored[ad.ad_id] = writes[ad.ad_id] = row
    if refused:
        raise RefusedAdsError(refused)
    new_campaigns = [(name, owner, "") for name, owner in owners.items() if name not in known_campaigns]
    advertisers = [(advertiser_id, "") for advertiser_id in {row[1] for row in writes.values()}]
    _insert(connection, schema.advertiser, advertisers, replace=False)
    _insert(connection, schema.campaign, new_campaigns, replace=False)
    # In the key's order, so that neighbours in the tree are written together.
    written = sorted(writes)
    _insert(connection, schema.ad, [writes[ad_id] for ad_id in written], replace=True)
    if written:
        note_change(connection, written)
    return UpsertResult(created, changed, len(ads) - created - changed)


def _why_refused(ad: Ad, before: Row | None, campaign_owner: str | None) -> str | None:
    if before is not None and before[1] != ad.advertiser_id:
        return (
            f"advertiser_id: ad {ad.ad_id!r} belongs to advertiser {before[1]!r} and its clicks are counted for it; "
            f"make a new ad for {ad.advertiser_id!r}"
        )
    if campaign_owner is not None and campaign_owner != ad.advertiser_id:
        return (
            f"campaign_id: campaign {ad.campaign_id!r} belongs to advertiser {campaign_owner!r}, not to "
            f"{ad.advertiser_id!r}; name another campaign"
        )
    return None


def _lookup(connection: Connection, table: Table, ids: set[str]) -> dict[str, Row]:
    if not ids:
        return {}
    statement = lookup_statement(connection.dialect, table)
    rows = connection.execute(statement, {"ids": msgspec.json.encode(sorted(ids)).decode()}).all()
    return {row[0]: row for row in map(tuple, rows)}


def _insert(connection: Connection, table: Table, rows: Sequence[Row], *, replace: bool) -> None:
    if rows:
        # Straight to the driver: Core's handling of parameters costs as much again as SQLite's own work.
        connection.exec_driver_sql(insert_statement(connection.dialect, table, replace=replace), list(rows))

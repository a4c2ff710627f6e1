-- For SQLite and PostgreSQL. Statements end with a semicolon at the end of a line.
CREATE TABLE advertiser (
    advertiser_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
);

-- A campaign belongs to one advertiser for good.
CREATE TABLE campaign (
    campaign_id TEXT NOT NULL PRIMARY KEY,
    advertiser_id TEXT NOT NULL,
    name TEXT NOT NULL
);
CREATE INDEX campaign_by_advertiser ON campaign (advertiser_id, campaign_id);

-- No foreign keys: an import of 10 million rows would pay for two more look-ups each. upsert_ads, the only writer,
-- makes advertisers and campaigns in the same transaction, and nothing is ever deleted. campaign_id '' is none.
CREATE TABLE ad (
    ad_id TEXT NOT NULL PRIMARY KEY,
    advertiser_id TEXT NOT NULL,
    landing_url TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL
);
CREATE INDEX ad_by_advertiser ON ad (advertiser_id, ad_id);

-- advertiser_id NULL: an admin's key. secret_hash: SHA-256 of the key in hex (registry/keys.py says why).
CREATE TABLE api_key (
    key_id TEXT NOT NULL PRIMARY KEY,
    advertiser_id TEXT,
    prefix TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);

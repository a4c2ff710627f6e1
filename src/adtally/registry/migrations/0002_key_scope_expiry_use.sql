-- Keys from before had no end, and their scope followed from their owner.
ALTER TABLE api_key ADD COLUMN scope TEXT NOT NULL DEFAULT 'read';
ALTER TABLE api_key ADD COLUMN expires_ms BIGINT;
ALTER TABLE api_key ADD COLUMN used_ms BIGINT;
UPDATE api_key SET scope = 'admin' WHERE advertiser_id IS NULL;

-- The OLAP store's schema, as numbered migrations, oldest first; one that was released is never edited again.
-- Kept in the dialect of old ClickHouse servers (no SimpleAggregateFunction, no DateTime64, no CODEC): run on chDB 4.4 and on
-- server 18.16, where LowCardinality has to be allowed.
-- {database} is the only thing that is filled in.

-- migration 1: live minutes
-- A join-semilattice: a cell's count is merged by max, its users by union. The writer of a shard sends running totals
-- and users, so that repeats, reorderings and retries do no harm.
CREATE TABLE {database}.minute_live (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  shard LowCardinality(String),
  clicks AggregateFunction(max, UInt64),
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = AggregatingMergeTree
PARTITION BY toStartOfHour(minute)
ORDER BY (advertiser_id, ad_id, minute, device, outcome, campaign_id, shard);

-- Plain rows go in here, and the view makes states of them; the table itself keeps nothing.
CREATE TABLE {database}.minute_live_input (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device String,
  outcome String,
  shard String,
  clicks UInt64,
  users Array(String)
) ENGINE = Null;

CREATE MATERIALIZED VIEW {database}.minute_live_feed TO {database}.minute_live AS
SELECT
  advertiser_id, campaign_id, ad_id, minute, device, outcome, shard,
  maxState(clicks) AS clicks,
  uniqCombinedArrayState(17)(users) AS users
FROM {database}.minute_live_input
GROUP BY advertiser_id, campaign_id, ad_id, minute, device, outcome, shard;

-- migration 2: final minutes
-- Written whole, an hour at a time: filled in the staging table, merged to one part, then put in place atomically.
-- Questions are about few rows of many parts: with an index of 8192 rows they decompress and compare twice as much.
CREATE TABLE {database}.minute_final (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = MergeTree
PARTITION BY toStartOfHour(minute)
ORDER BY (advertiser_id, ad_id, minute, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE {database}.minute_final_staging AS {database}.minute_final;

CREATE TABLE {database}.minute_final_input (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device String,
  outcome String,
  clicks UInt64,
  users Array(String)
) ENGINE = Null;

CREATE MATERIALIZED VIEW {database}.minute_final_feed TO {database}.minute_final_staging AS
SELECT
  advertiser_id, campaign_id, ad_id, minute, device, outcome,
  sum(clicks) AS clicks,
  uniqCombinedArrayState(17)(users) AS users
FROM {database}.minute_final_input
GROUP BY advertiser_id, campaign_id, ad_id, minute, device, outcome;

-- migration 3: rollups, each staged and published as the minutes are
-- Staged minutes come from files of a recount, and no longer through a view.
DROP TABLE {database}.minute_final_feed;

DROP TABLE {database}.minute_final_input;

CREATE TABLE {database}.quarter_hour_final (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  time DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = MergeTree
PARTITION BY toStartOfDay(time)
ORDER BY (advertiser_id, ad_id, time, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE {database}.quarter_hour_final_staging AS {database}.quarter_hour_final;

CREATE TABLE {database}.day_final AS {database}.quarter_hour_final;

CREATE TABLE {database}.day_final_staging AS {database}.quarter_hour_final;

CREATE TABLE {database}.month_final (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  time DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = MergeTree
PARTITION BY toStartOfMonth(time)
ORDER BY (advertiser_id, ad_id, time, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE {database}.month_final_staging AS {database}.month_final;

-- migration 4: live rows go in through a table and a view that old servers understand too
-- To server 18.16 a text is no LowCardinality text in a view, and uniqCombinedArrayState gives another type than the column's.
CREATE TABLE {database}.minute_live_rows (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  shard LowCardinality(String),
  clicks UInt64,
  users Array(String)
) ENGINE = Null;

CREATE MATERIALIZED VIEW {database}.minute_live_rows_feed TO {database}.minute_live AS
SELECT
  advertiser_id, campaign_id, ad_id, minute, device, outcome, shard,
  maxState(clicks) AS clicks,
  uniqCombinedMergeState(17)(arrayReduce('uniqCombinedState(17)', users)) AS users
FROM {database}.minute_live_rows
GROUP BY advertiser_id, campaign_id, ad_id, minute, device, outcome, shard;

DROP TABLE {database}.minute_live_feed;

DROP TABLE {database}.minute_live_input;

-- migration 5: minutes in parts of six hours, days in parts of a week
-- A question opens a part for each partition of its range, and that is most of what it costs: a day was 24 of them. An
-- hour or day is still published by itself: the partition is put together anew from it and what else it holds.
-- The rows of the tables before are moved at the end of it (migrations.py).
CREATE TABLE {database}.minute_final_6h (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = MergeTree
PARTITION BY toDateTime(intDiv(toUInt32(minute), 21600) * 21600, 'UTC')
ORDER BY (advertiser_id, ad_id, minute, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE {database}.minute_final_6h_staging AS {database}.minute_final_6h;

CREATE TABLE {database}.minute_staged AS {database}.minute_final_6h;

CREATE TABLE {database}.day_final_week (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  time DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = MergeTree
PARTITION BY toMonday(time)
ORDER BY (advertiser_id, ad_id, time, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE {database}.day_final_week_staging AS {database}.day_final_week;

-- migration 6: without the tables whose rows migration 5 moved
DROP TABLE {database}.minute_final;

DROP TABLE {database}.minute_final_staging;

DROP TABLE {database}.day_final;

DROP TABLE {database}.day_final_staging;

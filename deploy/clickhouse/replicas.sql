-- Tables with replicas, to be made on every replica before adtally first starts. Not run: see README.md.
-- The macros {shard} and {replica} are of the server's configuration, which names a ZooKeeper or Keeper besides.
-- Columns, keys and partitions are those of src/adtally/olap/schema.sql, which a test compares. Staging tables have no replicas.

CREATE DATABASE IF NOT EXISTS adtally;

CREATE TABLE adtally.minute_live (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  shard LowCardinality(String),
  clicks AggregateFunction(max, UInt64),
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/adtally/minute_live', '{replica}')
PARTITION BY toStartOfHour(minute)
ORDER BY (advertiser_id, ad_id, minute, device, outcome, campaign_id, shard);

CREATE TABLE adtally.minute_final_6h (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/adtally/minute_final_6h', '{replica}')
PARTITION BY toDateTime(intDiv(toUInt32(minute), 21600) * 21600, 'UTC')
ORDER BY (advertiser_id, ad_id, minute, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE adtally.minute_final_6h_staging (
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

CREATE TABLE adtally.minute_staged (
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

CREATE TABLE adtally.quarter_hour_final (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  time DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/adtally/quarter_hour_final', '{replica}')
PARTITION BY toStartOfDay(time)
ORDER BY (advertiser_id, ad_id, time, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE adtally.quarter_hour_final_staging (
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

CREATE TABLE adtally.day_final_week (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  time DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/adtally/day_final_week', '{replica}')
PARTITION BY toMonday(time)
ORDER BY (advertiser_id, ad_id, time, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE adtally.day_final_week_staging (
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

CREATE TABLE adtally.month_final (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  time DateTime('UTC'),
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users AggregateFunction(uniqCombined(17), String)
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/adtally/month_final', '{replica}')
PARTITION BY toStartOfMonth(time)
ORDER BY (advertiser_id, ad_id, time, device, outcome, campaign_id)
SETTINGS index_granularity = 1024;

CREATE TABLE adtally.month_final_staging (
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


CREATE TEMPORARY TABLE clicks (
  advertiser_id STRING, campaign_id STRING, ad_id STRING, user_id STRING, impression_id STRING, device STRING,
  verdict STRING, ts_ms BIGINT,
  shard INT METADATA FROM 'partition' VIRTUAL,
  appended TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  -- Orders each click's events as its partition does: one reader takes a partition in its order, and one channel carries
  -- what it read of a click.
  arrival AS PROCTIME()
) WITH (
  'connector' = 'kafka', 'topic' = '${clicks}', 'properties.bootstrap.servers' = '${brokers}',
  'properties.group.id' = '${job_group}', ${start},
  'scan.topic-partition-discovery.interval' = '10 s',
  -- What cannot be parsed is not counted here; the archiver keeps it as a dead letter.
  'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY TABLE live (
  advertiser_id STRING, campaign_id STRING, ad_id STRING, minute_s BIGINT, device STRING, outcome STRING, shard INT,
  clicks BIGINT, users ARRAY<STRING>,
  PRIMARY KEY (advertiser_id, campaign_id, ad_id, minute_s, device, outcome, shard) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'topic' = '${live}', 'properties.bootstrap.servers' = '${brokers}',
  'key.format' = 'json', 'value.format' = 'json', 'sink.delivery-guarantee' = 'at-least-once',
  'properties.linger.ms' = '20', 'properties.batch.size' = '262144', 'properties.compression.type' = 'lz4'
);

CREATE TEMPORARY VIEW whole AS
SELECT
  advertiser_id, campaign_id, ad_id, user_id, device, verdict, ts_ms, shard, arrival,
  (ts_ms - MOD(ts_ms, 60000)) / 1000 AS minute_s,
  -- A control character cannot stand in an impression id.
  COALESCE(impression_id, U&'\0001' || CAST(ts_ms / 60000 AS STRING)) AS click,
  appended > TO_TIMESTAMP_LTZ(ts_ms + ${lateness_ms}, 3) OR appended < TO_TIMESTAMP_LTZ(ts_ms - ${ahead_ms}, 3) AS late
FROM clicks
WHERE ts_ms IS NOT NULL AND advertiser_id IS NOT NULL AND campaign_id IS NOT NULL AND ad_id IS NOT NULL
  AND user_id IS NOT NULL AND device IS NOT NULL AND verdict IS NOT NULL;

-- The newest ok event of the same click so far, this one included; then the same of the event before.
CREATE TEMPORARY VIEW repeated AS
SELECT *, LAG(newest_ms) OVER (PARTITION BY shard, ad_id, user_id, click ORDER BY arrival) AS newest_before_ms
FROM (
  SELECT
    advertiser_id, campaign_id, ad_id, user_id, device, ts_ms, shard, arrival, click,
    MAX(ts_ms) OVER (
      PARTITION BY shard, ad_id, user_id, click ORDER BY arrival ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS newest_ms
  FROM whole WHERE verdict = 'ok' AND NOT late
);

CREATE TEMPORARY VIEW judged AS
SELECT
  advertiser_id, campaign_id, ad_id, (ts_ms - MOD(ts_ms, 60000)) / 1000 AS minute_s, device,
  CASE WHEN ABS(ts_ms - newest_before_ms) < ${dedup_window_ms} THEN 'duplicate' ELSE 'counted' END AS outcome,
  shard, user_id, arrival
FROM repeated WHERE ts_ms >= ${floor_ms}
UNION ALL
SELECT advertiser_id, campaign_id, ad_id, minute_s, device, verdict, shard, user_id, arrival
FROM whole WHERE verdict <> 'ok' AND NOT late AND ts_ms >= ${floor_ms}
UNION ALL
-- Late events, and those of a clock far ahead, are not live: one cell of each shard says how many there were.
SELECT '', '', '', CAST(0 AS BIGINT), '', 'late', shard, '', arrival
FROM whole WHERE late;

CREATE TEMPORARY VIEW panes AS
SELECT
  advertiser_id, campaign_id, ad_id, minute_s, device, outcome, shard,
  COUNT(*) AS clicks, ARRAY_AGG(DISTINCT user_id) AS users
FROM TABLE(TUMBLE(TABLE judged, DESCRIPTOR(arrival), INTERVAL '${pane_s}' SECOND))
GROUP BY advertiser_id, campaign_id, ad_id, minute_s, device, outcome, shard, window_start, window_end;

-- Each pane of a cell gives one row: the total up to it, and its users. A total that started again at 1 would be hidden by
-- max: it is kept until nothing of its minute can come any more.
INSERT INTO live
SELECT /*+ STATE_TTL('panes' = '${totals_ttl}') */
  advertiser_id, campaign_id, ad_id, minute_s, device, outcome, shard, SUM(clicks), LAST_VALUE(users)
FROM panes GROUP BY advertiser_id, campaign_id, ad_id, minute_s, device, outcome, shard

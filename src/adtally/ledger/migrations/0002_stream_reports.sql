-- What streams that share the log's partitions say of themselves (ReportBoard in stream/port.py). as_of_ms: epoch
-- milliseconds, the greatest of any report; report: a JSON object, the newest one.
CREATE TABLE stream_report (
    shard TEXT NOT NULL PRIMARY KEY,
    as_of_ms BIGINT NOT NULL,
    report TEXT NOT NULL
);

-- For SQLite and PostgreSQL; SQLite keeps bytes as bytes in a column of any type.
CREATE TABLE dead_letter (
    partition TEXT NOT NULL,
    position TEXT NOT NULL,
    reason TEXT NOT NULL,
    payload BYTEA NOT NULL,
    found_ms BIGINT NOT NULL,
    replayed_ms BIGINT,
    PRIMARY KEY (partition, position)
);

-- For SQLite and PostgreSQL. Statements end with a semicolon at the end of a line. Hours are named by their start in
-- epoch milliseconds. Where a struct of ledger/port.py is stored, its docstrings say what the columns mean.

-- Numbers of which the newest counts: 'commit' (of the newest line) and 'archive wanted' (epoch milliseconds).
CREATE TABLE latest (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO latest (name, value) VALUES ('commit', 0), ('archive wanted', 0);

CREATE TABLE archive (
    partition TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL,
    passed_ms BIGINT NOT NULL
);

CREATE TABLE mark (
    edge_id TEXT NOT NULL,
    hour_ms BIGINT NOT NULL,
    partition TEXT NOT NULL,
    last_seq BIGINT NOT NULL,
    ts_ms BIGINT NOT NULL,
    closed SMALLINT NOT NULL,
    oldest_spooled_ts_ms BIGINT,
    PRIMARY KEY (edge_id, hour_ms)
);
CREATE INDEX mark_by_hour ON mark (hour_ms, edge_id);

CREATE TABLE absence (
    edge_id TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    reason TEXT NOT NULL,
    ts_ms BIGINT NOT NULL,
    PRIMARY KEY (edge_id, first_seq, last_seq)
);

-- Only ever added to; of a newest line, `files` may be replaced by the fingerprint of other files with the same events.
-- previous, final: a JSON object, events by outcome; rules: a JSON object.
CREATE TABLE line (
    "commit" BIGINT NOT NULL PRIMARY KEY,
    hour_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    revision BIGINT NOT NULL,
    events BIGINT NOT NULL,
    hash TEXT NOT NULL,
    window_events BIGINT NOT NULL,
    window_hash TEXT NOT NULL,
    files TEXT NOT NULL,
    previous TEXT NOT NULL,
    final TEXT NOT NULL,
    keys_differed BIGINT NOT NULL,
    difference BIGINT NOT NULL,
    missing BIGINT NOT NULL,
    late BIGINT NOT NULL,
    rules TEXT NOT NULL,
    engine TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    finished_ms BIGINT NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX line_by_hour ON line (hour_ms, "commit");

-- Many cells in a row: a line may change a million of them. cells: a JSON array of [advertiser_id, campaign_id, ad_id,
-- minute_s, device, outcome, old, new]; first_index counts the line's cells before it.
CREATE TABLE changed (
    "commit" BIGINT NOT NULL,
    first_index BIGINT NOT NULL,
    cells TEXT NOT NULL,
    PRIMARY KEY ("commit", first_index)
);

-- Lines whose numbers are about to be published, at most one an hour. document: a JSON object, the line and its edges.
CREATE TABLE prepared (
    hour_ms BIGINT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
);
CREATE TABLE prepared_changed (
    hour_ms BIGINT NOT NULL,
    first_index BIGINT NOT NULL,
    cells TEXT NOT NULL,
    PRIMARY KEY (hour_ms, first_index)
);

CREATE TABLE hour_edge (
    hour_ms BIGINT NOT NULL,
    edge_id TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    events BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (hour_ms, edge_id)
);
CREATE INDEX hour_edge_by_edge ON hour_edge (edge_id, hour_ms, last_seq);

CREATE TABLE span (
    grain TEXT NOT NULL,
    start_ms BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (grain, start_ms)
);

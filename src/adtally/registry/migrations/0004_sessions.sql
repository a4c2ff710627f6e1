-- Sign-in sessions of the page, where several API servers share them; `number` is the order in which they were opened.
CREATE TABLE session (
    token_hash TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    ends_ms BIGINT NOT NULL,
    number BIGINT NOT NULL
);
CREATE INDEX session_by_key ON session (key_id, number);
CREATE INDEX session_by_number ON session (number);

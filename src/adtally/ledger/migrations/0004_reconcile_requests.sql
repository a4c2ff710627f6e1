-- Passes that somebody asked for, by number, and as number 0 the newest regular pass: JSON documents of
-- reconcile/requests.py. finished: 1 if nobody is to do anything about it.
CREATE TABLE reconcile_request (
    number BIGINT NOT NULL PRIMARY KEY,
    finished SMALLINT NOT NULL,
    document TEXT NOT NULL
);
INSERT INTO latest (name, value) VALUES ('reconcile request', 0);

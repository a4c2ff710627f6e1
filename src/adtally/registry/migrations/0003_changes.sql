-- What was changed lately, for those who keep copies of all ads (registry/changes.py). One row for each batch that
-- changed any: `number` counts the changed ads up to and with it, `token` is random, `ids` a JSON array of ad_ids.
-- Old rows are removed; who is further behind copies everything again.
CREATE TABLE change (
    number BIGINT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    ids TEXT NOT NULL
);
INSERT INTO change (number, token, ids) VALUES (0, '', '[]');

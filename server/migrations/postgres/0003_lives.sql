-- The same columns as in SQLite; see there.
ALTER TABLE numbers ADD COLUMN due BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN due BIGINT;
UPDATE numbers SET due = EXTRACT(EPOCH FROM now()) + random() * 5184000;
UPDATE queue SET due = EXTRACT(EPOCH FROM now()) + random() * 5184000 WHERE generation IS NOT NULL;

CREATE INDEX numbers_by_due ON numbers (due) WHERE listed = 0;

-- The same columns as in SQLite; see there.
ALTER TABLE numbers ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN generation BIGINT;

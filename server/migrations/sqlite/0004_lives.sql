-- The ring key of a decoy has a life, drawn with it: `generation` says under which identity the next one comes, `due` when, in Unix
-- seconds. Decoys of an earlier version are renewed one by one over the longest life, 60 days.
ALTER TABLE numbers ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN due INTEGER;
UPDATE numbers SET due = unixepoch() + abs(random() % 5184000);
UPDATE queue SET due = unixepoch() + abs(random() % 5184000) WHERE generation IS NOT NULL;

CREATE INDEX numbers_by_due ON numbers (due) WHERE listed = 0;

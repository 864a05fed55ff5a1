-- A decoy keeps its identity while its ring key changes. `generation` says which identity that is, or was before somebody had the
-- number; a decoy that waits in the queue brings its own, and an owner's listing none.
ALTER TABLE numbers ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN generation INTEGER;

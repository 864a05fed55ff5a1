-- A book that is published in epochs. `record` is what the last epoch says of a number; `epoch` is the one that changed it last,
-- `listed` whether it is somebody's listing. `owner` is the identity key of whoever has the number, and `retired` when it was given
-- up, in Unix seconds.
DROP INDEX numbers_by_change;
ALTER TABLE numbers DROP COLUMN change;
ALTER TABLE numbers ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE numbers ADD COLUMN listed INTEGER NOT NULL DEFAULT 0 CHECK (listed IN (0, 1));
ALTER TABLE numbers ADD COLUMN owner BLOB CHECK (length(owner) = 32);
ALTER TABLE numbers ADD COLUMN retired INTEGER;
UPDATE numbers SET listed = 1, owner = substr(record, 1, 32) WHERE code IS NOT NULL;

CREATE INDEX numbers_by_epoch ON numbers (epoch);

-- What waits for the end of an epoch, in the order of `place`.
CREATE TABLE queue (
    number INTEGER PRIMARY KEY REFERENCES numbers (number),
    place  INTEGER NOT NULL UNIQUE,
    record BLOB NOT NULL CHECK (length(record) = 192),
    listed INTEGER NOT NULL CHECK (listed IN (0, 1))
) STRICT;

-- Network settings as they were served, by the hash that roots name.
CREATE TABLE networks (
    digest   BLOB PRIMARY KEY CHECK (length(digest) = 32),
    settings BLOB NOT NULL
) STRICT;

-- Every epoch that ended.
CREATE TABLE epochs (
    epoch   INTEGER PRIMARY KEY CHECK (epoch > 0),
    root    BLOB NOT NULL CHECK (length(root) = 257),
    network BLOB NOT NULL REFERENCES networks (digest)
) STRICT;

-- What the newer epochs changed.
CREATE TABLE deltas (
    epoch INTEGER PRIMARY KEY REFERENCES epochs (epoch),
    delta BLOB NOT NULL
) STRICT;

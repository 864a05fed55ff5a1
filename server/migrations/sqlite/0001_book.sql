-- What a book is born with; one row.
CREATE TABLE charter (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    seed  BLOB NOT NULL CHECK (length(seed) = 32),
    admin BLOB NOT NULL CHECK (length(admin) = 32)
) STRICT;

-- Every number of the plan, assigned or not, with its listing or its decoy.
-- `change` counts up over the whole table; `code` is the hash of the code that activated the number, and NULL until then.
CREATE TABLE numbers (
    number INTEGER PRIMARY KEY,
    record BLOB NOT NULL CHECK (length(record) = 192),
    change INTEGER NOT NULL DEFAULT 0,
    code   BLOB UNIQUE CHECK (length(code) = 32)
) STRICT;

CREATE INDEX numbers_by_change ON numbers (change);

-- Codes that may still be used. A number waits for one code at most.
CREATE TABLE codes (
    digest  BLOB PRIMARY KEY CHECK (length(digest) = 32),
    number  INTEGER NOT NULL UNIQUE REFERENCES numbers (number),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
